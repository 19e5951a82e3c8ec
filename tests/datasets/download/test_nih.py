"""The source `nih`: from the server to the tables, lists and archives in data/raw."""

import gzip
import hashlib
import json

import pandas as pd
import pytest

from cxr14.config.blocks import PhantomParams
from cxr14.datasets.image_table import read_boxes, read_images
from cxr14.datasets.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST
from cxr14.datasets.source import write_phantoms
from cxr14.errors import UserError
from cxr14.io import packaged_file, read_json
from tests.datasets.download.catalogued import (
    HALVES,
    NOTHING_ODD,
    PNGS,
    SMALL,
    bring,
    write_catalogue,
)
from tests.datasets.pictures import write_archive


def test_what_is_downloaded_becomes_tables_lists_archives_and_a_manifest(nih_server, tmp_path):
    counts = bring(tmp_path)
    assert counts == {"images": 6} | NOTHING_ODD | {"rows_without_image": 0}
    for name, content in SMALL.items():
        assert (tmp_path / "tables" / name).read_bytes() == content
    manifest = pd.read_csv(tmp_path / "tables" / MANIFEST)
    assert manifest.image.tolist() == list(PNGS)
    assert manifest.container.tolist() == ["images_002.tar.gz"] * 3 + ["images_001.tar.gz"] * 3
    facts = read_json(tmp_path / "tables" / FACTS)
    assert facts == {
        "source": "nih", "phantom": False, "base": None, "catalogue": "catalogue.json", **counts,
        "table_files": {
            name: str(tmp_path / "kept" / "catalogue" / name)
            for name in (IMAGE_TABLE, BOX_TABLE, *LISTS)
        },
        "table_sha256": {name: hashlib.sha256(SMALL[name]).hexdigest() for name in SMALL},
    }  # fmt: skip


def test_a_mirror_gives_tables_lists_and_archives_alike(nih_server, tmp_path):
    lines = [
        nih_server.entry(name, url=f"http://nowhere.invalid/{name}") for name in nih_server.files
    ]
    (tmp_path / "catalogue.json").write_text(json.dumps(lines))
    assert bring(tmp_path, mirror=nih_server.base)["images"] == 6
    assert sorted(name for name, *_ in nih_server.log) == sorted(nih_server.files)


def test_archives_of_an_earlier_source_do_not_stay(nih_server, tmp_path):
    archives = tmp_path / "archives"
    params = PhantomParams(images=3, size=256, contrast=1.0, shortcut=0.0, seed=1)
    write_phantoms(tmp_path / "tables", archives, params, workers=1)
    assert [path.name for path in archives.iterdir()] == ["images_001.tar"]
    bring(tmp_path)
    assert {path.name for path in archives.iterdir()} == set(HALVES)


def test_an_archive_of_the_user_stays_though_it_has_a_name_of_ours(nih_server, tmp_path):
    own = tmp_path / "archives" / "images_001.tar.gz"
    write_archive(own, PNGS)
    before = own.read_bytes()
    with pytest.raises(UserError, match=r"images_001\.tar\.gz': no stage wrote this file"):
        bring(tmp_path)
    assert own.read_bytes() == before
    assert not (tmp_path / "tables").exists()
    assert nih_server.log == [], "nothing is fetched before"


def test_tables_that_a_catalogue_lacks_are_the_packaged_ones(nih_server, tmp_path):
    write_catalogue(nih_server, tmp_path, ["images_002.tar.gz"])
    counts = bring(tmp_path)
    assert counts == {"images": 3} | NOTHING_ODD | {"rows_without_image": 112_117}
    assert not any((tmp_path / "tables" / name).exists() for name in LISTS)


def test_nihs_table_and_the_packaged_one_say_the_same(tmp_path):
    for table, read in ((IMAGE_TABLE, read_images), (BOX_TABLE, read_boxes)):
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{table}.gz")
        content = gzip.decompress(packed.read_bytes())
        (tmp_path / "packaged.csv").write_bytes(content)
        (tmp_path / "nih.csv").write_bytes(content.replace(b"Patient Gender", b"Patient Sex", 1))
        pd.testing.assert_frame_equal(read(tmp_path / "packaged.csv"), read(tmp_path / "nih.csv"))
