"""The download and Kaggle's copy end in the same cache."""

from functools import partial

import pandas as pd
import pytest

from cxr14.datasets.raw import IMAGE_TABLE, MANIFEST
from cxr14.datasets.source import write_folder
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.preprocessing.fill import fill_cache
from cxr14.preprocessing.shards import run_local
from tests.datasets.download.catalogued import HALVES, SMALL, TABLE, bring, write_catalogue
from tests.datasets.download.faulty_server import FaultyServer
from tests.datasets.pictures import write_archive, write_loose
from tests.datasets.tables.written import HEADER

pytestmark = pytest.mark.graph


def same_cache_from_both(served, kaggle, folder, server, size):
    """Fill one cache through the server and one from Kaggle's layout; their bytes."""
    write_catalogue(server, folder, [*served, *SMALL])
    bring(folder)
    write_folder(folder / "kaggle-tables", folder / "kaggle-images", kaggle, "kaggle")
    found = []
    for tables, base in (
        (folder / "tables", folder / "archives"),
        (folder / "kaggle-tables", kaggle),
    ):
        manifest = pd.read_csv(tables / MANIFEST, keep_default_na=False)
        fill_cache(
            manifest,
            base,
            folder / "cache",
            size,
            folder / "scratch",
            partial(run_local, workers=1),
        )
        found.append([(folder / "cache" / name).read_bytes() for name in (ARRAY, INDEX)])
    return found


def test_kaggles_copy_and_the_download_give_the_same_cache(nih_server, tmp_path):
    kaggle = tmp_path / "kaggle"
    for n, pngs in enumerate(HALVES.values(), 1):
        write_loose(kaggle / f"images_{n:03d}" / "images", pngs)
    (kaggle / "Data_Entry_2017.csv").write_text(TABLE)
    first, second = same_cache_from_both(HALVES, kaggle, tmp_path, nih_server, 12)
    assert first == second


def test_real_pictures_too_give_the_same_cache_from_both(nih, tmp_path):
    paths = sorted((nih / "images").glob("*.png"))[:40:5]
    pngs = {path.name: path.read_bytes() for path in paths}
    table = f"{HEADER}\n" + "".join(
        f"{name},Mass,0,{int(name[:8])},58,F,PA,1024,1024,0.1,0.1\n" for name in pngs
    )
    kaggle = tmp_path / "kaggle"
    write_loose(kaggle / "images_007" / "images", pngs)
    (kaggle / IMAGE_TABLE).write_text(table)
    write_archive(tmp_path / "images_007.tar.gz", dict(reversed(pngs.items())))
    files = {"images_007.tar.gz": (tmp_path / "images_007.tar.gz").read_bytes(), **SMALL}
    with FaultyServer(files | {IMAGE_TABLE: table.encode()}) as server:
        first, second = same_cache_from_both(["images_007.tar.gz"], kaggle, tmp_path, server, 224)
    assert first == second
