"""A user's own folder, described."""

import hashlib
import tarfile
import time

import pandas as pd
import pytest

from cxr14.datasets.manifest import MISSING_COLUMNS, list_images, missing_images
from cxr14.io import write_csv
from tests.datasets.archives.hostile import add
from tests.datasets.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(4)
FIRST = min(PNGS)


def test_a_manifest_lists_every_picture_with_its_hash(tmp_path):
    first, *others = PNGS
    write_archive(tmp_path / "images_001.tar.gz", {name: PNGS[name] for name in others[::-1]})
    write_loose(tmp_path / "images", {first: PNGS[first]})
    manifest = list_images(tmp_path).manifest
    assert manifest.image.tolist() == sorted(PNGS)
    assert manifest.container.tolist() == ["", *["images_001.tar.gz"] * 3]
    assert manifest.sha256.tolist() == [hashlib.sha256(PNGS[n]).hexdigest() for n in sorted(PNGS)]
    assert manifest.bytes.tolist() == [len(PNGS[name]) for name in sorted(PNGS)]


def test_a_picture_both_loose_and_in_an_archive_is_taken_once_and_counted(tmp_path):
    """Who unpacks NIH's archives and keeps them has every image twice."""
    write_archive(tmp_path / "images_001.tar", PNGS)
    write_loose(tmp_path / "images", PNGS)
    listing = list_images(tmp_path)
    assert set(listing.manifest.container) == {"images_001.tar"}
    assert listing.counts()["repeated_images"] == len(listing.manifest) == 4


def test_a_picture_that_differs_between_an_archive_and_a_folder_is_refused(tmp_path):
    write_archive(tmp_path / "images_001.tar", PNGS)
    write_loose(tmp_path / "images", {FIRST: b"changed"})
    with pytest.raises(ValueError, match=rf"images_001\.tar/images/{FIRST} and images/{FIRST}"):
        list_images(tmp_path)


def test_a_jpeg_copy_of_the_set_is_listed_under_the_names_of_the_table(tmp_path):
    write_loose(tmp_path, {name.replace(".png", ".jpg"): PNGS[name] for name in PNGS})
    listing = list_images(tmp_path)
    assert listing.manifest.image.tolist() == sorted(PNGS)
    assert listing.counts()["images_of_other_extension"] == 4


def test_an_archive_whose_every_image_is_refused_says_why(tmp_path):
    with tarfile.open(tmp_path / "images_001.tar", "w") as archive:
        add(archive, "data/._a.png")
    with pytest.raises(
        ValueError,
        match=r"no image in images_001\.tar of .*images_001\.tar data/\._a\.png: hidden file",
    ):
        list_images(tmp_path)


def test_a_folder_that_is_not_there_is_named_with_its_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none \(data\.folder\) is not a folder"):
        list_images(tmp_path / "none")


def test_a_folder_without_pictures_names_the_layouts(tmp_path):
    with pytest.raises(
        ValueError, match=r"no image in .*may hold images/\*\.png, images_001/images"
    ):
        list_images(tmp_path)


@pytest.fixture
def listed(tmp_path):
    first, *others = PNGS
    write_archive(tmp_path / "images_001.tar.gz", {name: PNGS[name] for name in others[:1]})
    write_loose(tmp_path / "images", {name: PNGS[name] for name in (first, *others[1:])})
    return tmp_path, list_images(tmp_path).manifest


def test_when_all_is_there_no_image_is_missing(listed):
    base, manifest = listed
    missing = missing_images(manifest, base)
    assert tuple(missing.columns) == MISSING_COLUMNS
    assert len(missing) == 0


def test_images_that_went_or_changed_their_size_are_missing(listed):
    base, manifest = listed
    gone, changed, replaced = (
        base / "images" / name for name in manifest[manifest.container == ""].image
    )
    gone.unlink()
    changed.write_bytes(b"short")
    replaced.unlink()
    replaced.mkdir()
    (base / "images_001.tar.gz").unlink()
    missing = missing_images(manifest, base).set_index("image").reason
    assert "No such file" in missing[gone.name]
    assert "has 5 bytes, and had" in missing[changed.name]
    assert "is no file any more" in missing[replaced.name]
    assert "images_001.tar.gz: No such file" in missing[sorted(PNGS)[1]]
    assert len(missing) == 4


def test_the_manifest_may_come_from_its_file(listed):
    """As the stages read it."""
    base, manifest = listed
    write_csv(base / "manifest.csv", manifest)
    again = pd.read_csv(base / "manifest.csv", keep_default_na=False)
    assert len(missing_images(again, base)) == 0
    (base / "images" / manifest.image[0]).unlink()
    assert missing_images(again, base).image.tolist() == [manifest.image[0]]


def test_a_hundred_thousand_images_are_looked_for_in_seconds(tmp_path):
    """In about 0.4 s; the limit leaves room for a slow machine."""
    write_loose(tmp_path, {"a.png": b"abc"})
    manifest = list_images(tmp_path).manifest.iloc[[0] * 112_120].reset_index(drop=True)
    start = time.process_time()
    assert len(missing_images(manifest, tmp_path)) == 0
    assert time.process_time() - start < 5
