"""From a manifest to one array."""

import numpy as np
import pandas as pd
import pytest

from cxr14.data.cache import ARRAY, INDEX, open_cache
from cxr14.data.folder import read_manifest
from cxr14.data.preprocess import Shard, fill_cache, shrink_shard
from cxr14.data.shrink import shrink
from tests.data.pictures import encode, noise, some_pngs, write_archive, write_loose

PNGS = some_pngs(5)
SIZE = 12
LAYOUTS = ("compressed", "kaggle", "nih", "loose")
HALVES = [dict(list(PNGS.items())[:3]), dict(list(PNGS.items())[3:])]


def write_layouts(base):
    """The same pictures in every layout, each in a folder of its own."""
    for n, half in enumerate(HALVES, 1):
        write_archive(base / "compressed" / f"images_{n:03d}.tar.gz", half)
        write_loose(base / "kaggle" / f"images_{n:03d}" / "images", half)
    write_archive(base / "nih" / "images_001.tar", dict(reversed(PNGS.items())))
    write_loose(base / "loose" / "images", PNGS)


def list_layouts(base):
    """One manifest of all layouts, a block of five rows for each."""
    manifests = []
    for layout in LAYOUTS:
        manifest = read_manifest(base / layout)
        place = "container" if manifest.container.all() else "member"
        manifests.append(manifest.assign(**{place: f"{layout}/" + manifest[place]}))
    return pd.concat(manifests, ignore_index=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache of all layouts, and what fill_cache said."""
    base = tmp_path_factory.mktemp("filled")
    write_layouts(base)
    return base, fill_cache(list_layouts(base), base, base / "cache", SIZE, workers=1)


def test_the_cache_holds_every_picture_and_its_place_in_the_order_of_the_manifest(filled):
    images, index = open_cache(filled[0] / "cache")
    assert index.image.tolist() == sorted(PNGS) * len(LAYOUTS)
    assert index.row.tolist() == list(range(20))
    for row in index.itertuples():
        alone = vars(shrink(PNGS[row.image], SIZE, row.image)).copy()
        assert (images[row.row] == alone.pop("pixels")).all()
        del alone["mode"]
        assert {name: getattr(row, name) for name in alone} == alone


def test_every_layout_gives_the_same_pictures_and_places(filled):
    images, index = open_cache(filled[0] / "cache")
    blocks = images.reshape(len(LAYOUTS), len(PNGS), SIZE, SIZE)
    assert (blocks == blocks[0]).all()
    assert (index.drop(columns="row").value_counts() == len(LAYOUTS)).all()


def test_the_number_of_workers_does_not_change_a_byte(filled, tmp_path):
    fill_cache(list_layouts(filled[0]), filled[0], tmp_path, SIZE, workers=2)
    for name in (ARRAY, INDEX):
        assert (tmp_path / name).read_bytes() == (filled[0] / "cache" / name).read_bytes()


def test_padded_pictures_and_pixel_formats_are_counted(filled):
    assert filled[1] == {"images": 20, "padded": 8, "size": SIZE, "mode_L": 20}


def shard(base, pngs):
    """All pictures below `base` as one piece of work, as a worker gets it."""
    manifest = read_manifest(base)
    np.save(base / "array.npy", np.zeros((len(pngs), SIZE, SIZE), np.uint8))
    columns = manifest.member.tolist(), manifest.sha256.tolist()
    return Shard(base, "", list(range(len(pngs))), *columns)


def test_a_picture_that_changed_after_it_was_listed_is_named_with_the_remedy(tmp_path):
    write_loose(tmp_path, PNGS)
    work = shard(tmp_path, PNGS)
    (tmp_path / "00000002_000.png").write_bytes(encode(noise(99)))
    with pytest.raises(ValueError, match=r"00000002_000\.png is not the image.*--force download"):
        shrink_shard(work, tmp_path / "array.npy", SIZE)


def test_a_listed_picture_that_is_gone_is_named_with_the_remedy(tmp_path):
    write_loose(tmp_path, PNGS)
    work = shard(tmp_path, PNGS)
    (tmp_path / "00000002_000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 5 images.*00000002_000.*--force download"):
        shrink_shard(work, tmp_path / "array.npy", SIZE)


def test_a_broken_picture_stops_the_run_by_name_and_leaves_the_old_cache(tmp_path):
    write_loose(tmp_path / "raw", PNGS | {"00000009_000.png": PNGS["00000001_000.png"][:200]})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ARRAY).write_bytes(b"old")
    with pytest.raises(ValueError, match=r"00000009_000\.png: not a readable image"):
        fill_cache(read_manifest(tmp_path / "raw"), tmp_path / "raw", tmp_path / "cache", SIZE, 1)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [ARRAY]
    assert (tmp_path / "cache" / ARRAY).read_bytes() == b"old"
