"""From a manifest to one array."""

import hashlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing.cache import ARRAY, INDEX, open_cache
from cxr14.preprocessing.decode import shrink
from cxr14.preprocessing.fill import INDEX_COLUMNS, SPACING_COLUMNS, fill_cache
from cxr14.preprocessing.shards import run_local
from tests.datasets.pictures import encode, noise, some_pngs, write_archive, write_loose

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
        manifest = list_images(base / layout).manifest
        place = "container" if manifest.container.all() else "member"
        manifests.append(manifest.assign(**{place: f"{layout}/" + manifest[place]}))
    return pd.concat(manifests, ignore_index=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache of all layouts, and what fill_cache said."""
    base = tmp_path_factory.mktemp("filled")
    write_layouts(base)
    engine = partial(run_local, workers=1)
    found = fill_cache(list_layouts(base), base, base / "cache", SIZE, base / "scratch", engine)
    return base, found


def opened(folder):
    """The array and the index; open_cache refuses an image in several layouts."""
    return np.load(folder / ARRAY), pd.read_parquet(folder / INDEX)


def test_the_cache_holds_every_picture_and_its_place_in_the_order_of_the_manifest(filled):
    images, index = opened(filled[0] / "cache")
    assert index.image.tolist() == sorted(PNGS) * len(LAYOUTS)
    assert index.columns.tolist() == INDEX_COLUMNS
    assert index.row.tolist() == list(range(20))
    for row in index.itertuples():
        alone = vars(shrink(PNGS[row.image], SIZE, row.image)).copy()
        assert (images[row.row] == alone.pop("pixels")).all()
        del alone["mode"], alone["remarks"]
        assert [alone.pop(name) for name in SPACING_COLUMNS] == [None, None]
        assert {name: getattr(row, name) for name in alone} == alone


def test_every_layout_gives_the_same_pictures_and_places(filled):
    images, index = opened(filled[0] / "cache")
    blocks = images.reshape(len(LAYOUTS), len(PNGS), SIZE, SIZE)
    assert (blocks == blocks[0]).all()
    assert (index.drop(columns="row").value_counts() == len(LAYOUTS)).all()


def test_the_number_of_workers_does_not_change_a_byte(filled, tmp_path):
    base = filled[0]
    found = fill_cache(
        list_layouts(base), base, tmp_path, SIZE, base / "scratch", partial(run_local, workers=2)
    )
    pd.testing.assert_frame_equal(found.issues, filled[1].issues)
    for name in (ARRAY, INDEX):
        assert (tmp_path / name).read_bytes() == (base / "cache" / name).read_bytes()


def test_padded_pictures_and_pixel_formats_are_counted(filled):
    counts = {name: count for name, count in filled[1].counts.items() if count}
    assert counts == {"images": 20, "padded": 8, "size": SIZE, "mode_L": 20}
    assert filled[1].counts["skipped"] == 0
    assert filled[1].issues.issue.tolist() == ["padded"] * 8
    assert filled[1].issues.action.tolist() == ["changed"] * 8


def test_the_scratch_is_gone_when_the_cache_is_there(filled):
    assert [path for path in (filled[0] / "scratch").iterdir() if path.suffix != ".lock"] == []


@pytest.fixture
def dirty(tmp_path):
    """A folder and an archive in which four pictures are bad, listed when all were good."""
    good = some_pngs(8)
    names = sorted(good)
    write_loose(tmp_path / "raw" / "images", {name: good[name] for name in names[:4]})
    write_archive(tmp_path / "raw" / "images_001.tar.gz", {name: good[name] for name in names[4:]})
    manifest = list_images(tmp_path / "raw").manifest
    (tmp_path / "raw" / "images" / names[0]).write_bytes(encode(noise(99)))
    (tmp_path / "raw" / "images" / names[2]).unlink()
    broken = good | {names[5]: b"", names[6]: good[names[6]][:200]}
    write_archive(
        tmp_path / "raw" / "images_001.tar.gz", {name: broken[name] for name in names[4:]}
    )
    for name in names[5:7]:  # as if they had been bad when they were listed
        digest = hashlib.sha256(broken[name]).hexdigest()
        manifest.loc[manifest.image == name, "sha256"] = digest
    return tmp_path, manifest, good


def fill(place, manifest, **more):
    return fill_cache(
        manifest,
        place / "raw",
        place / "cache",
        SIZE,
        place / "scratch",
        partial(run_local, workers=2),
        **more,
    )


def test_all_bad_pictures_are_named_in_one_go_and_the_old_cache_stays(dirty):
    place, manifest, _ = dirty
    (place / "cache").mkdir()
    (place / "cache" / ARRAY).write_bytes(b"old")
    with pytest.raises(ValueError, match=r"4 images of .* cannot be used") as caught:
        fill(place, manifest)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for line, (name, reason) in zip(
        lines[1:],
        [
            ("images/00000001_000.png", "is not the image that was listed"),
            ("images/00000003_000.png", "is gone"),
            ("images_001.tar.gz/images/00000006_000.png", "the file is empty"),
            ("images_001.tar.gz/images/00000007_000.png", "not a readable image"),
        ],
        strict=True,
    ):
        assert name in line
        assert reason in line
    assert [path.name for path in (place / "cache").iterdir()] == [ARRAY]
    assert (place / "cache" / ARRAY).read_bytes() == b"old"


def test_skipped_pictures_are_left_out_of_the_array_listed_and_counted(dirty):
    place, manifest, good = dirty
    found = fill(place, manifest, on_error="skip")
    assert (found.counts["images"], found.counts["skipped"]) == (4, 4)
    images, index = open_cache(place / "cache")
    assert images.shape == (4, SIZE, SIZE)
    assert index.image.tolist() == [f"{n:08d}_000.png" for n in (2, 4, 5, 8)]
    assert index.row.tolist() == [0, 1, 2, 3]
    for row in index.itertuples():
        assert (images[row.row] == shrink(good[row.image], SIZE, "a.png").pixels).all()
    skipped = found.issues[found.issues.action == "skipped"]
    assert skipped.name.tolist() == [f"images/{n:08d}_000.png" for n in (1, 3, 6, 7)]
    assert skipped.file.tolist() == ["", "", *["images_001.tar.gz"] * 2]
    assert skipped.issue.tolist() == ["not as listed", "gone", "unreadable", "damaged"]
    assert skipped.detail.str.contains("listed|gone|empty|readable").all()


def test_files_that_earlier_stages_could_not_use_stop_the_run_beside_bad_images(dirty):
    place, manifest, _ = dirty
    sentence = "images_001.tar.gz/images/9.png: damaged (its CRC is wrong)"
    with pytest.raises(ValueError, match=r"^5 images of .* cannot be used") as caught:
        fill(place, manifest, unusable=[sentence])
    assert str(caught.value).splitlines()[-1] == sentence
    assert fill(place, manifest, on_error="skip", unusable=[sentence]).counts["images"] == 4


def test_skipping_everything_is_refused(tmp_path):
    write_loose(tmp_path / "raw", {"00000001_000.png": b"x", "00000002_000.png": b"y"})
    with pytest.raises(ValueError, match="none of 2 images can be used"):
        fill(tmp_path, list_images(tmp_path / "raw").manifest, on_error="skip")


def test_an_archive_that_is_gone_stops_the_run_also_when_bad_pictures_are_skipped(tmp_path):
    for n, half in enumerate(HALVES, 1):
        write_archive(tmp_path / "raw" / f"images_{n:03d}.tar.gz", half)
    manifest = list_images(tmp_path / "raw").manifest
    (tmp_path / "raw" / "images_001.tar.gz").unlink()
    content = (tmp_path / "raw" / "images_002.tar.gz").read_bytes()
    (tmp_path / "raw" / "images_002.tar.gz").write_bytes(content[:300])
    with pytest.raises(ValueError, match=r"images_00[12]\.tar\.gz.*\n.*images_00[12]\.tar\.gz"):
        fill(tmp_path, manifest, on_error="skip")


def test_a_negative_is_listed_and_stays_as_it_is(nih, tmp_path):
    name = "00000001_000.png"
    with Image.open(nih / "images" / name) as file:
        negative = ImageOps.invert(file.convert("L"))
    write_loose(tmp_path / "raw", {name: encode(negative)})
    found = fill_cache(
        list_images(tmp_path / "raw").manifest,
        tmp_path / "raw",
        tmp_path / "cache",
        224,
        tmp_path / "scratch",
    )
    assert found.counts["inverted"] == 1
    assert found.issues[["name", "issue", "action"]].to_numpy().tolist() == [
        [name, "inverted", "kept"]
    ]
    wanted = shrink(encode(negative), 224, name).pixels
    assert (open_cache(tmp_path / "cache")[0][0] == wanted).all()
