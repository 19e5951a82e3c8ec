"""A user's own folder, described."""

import hashlib

import pytest

from cxr14.data.folder import read_manifest
from tests.data.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(4)


def test_a_manifest_lists_every_picture_with_its_hash(tmp_path):
    first, *others = PNGS
    write_archive(tmp_path / "images_001.tar.gz", {name: PNGS[name] for name in others[::-1]})
    write_loose(tmp_path / "images", {first: PNGS[first]})
    manifest = read_manifest(tmp_path)
    assert manifest.image.tolist() == sorted(PNGS)
    assert manifest.container.tolist() == ["", *["images_001.tar.gz"] * 3]
    assert manifest.sha256.tolist() == [hashlib.sha256(PNGS[n]).hexdigest() for n in sorted(PNGS)]
    assert manifest.bytes.tolist() == [len(PNGS[name]) for name in sorted(PNGS)]


def test_a_picture_both_loose_and_in_an_archive_is_refused(tmp_path):
    write_archive(tmp_path / "images_001.tar", PNGS)
    write_loose(tmp_path / "images", PNGS)
    with pytest.raises(ValueError, match="4 images are there twice"):
        read_manifest(tmp_path)


def test_a_folder_that_is_not_there_is_named_with_its_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.folder: .*none is not a folder"):
        read_manifest(tmp_path / "none")


def test_a_folder_without_pictures_names_the_layouts(tmp_path):
    with pytest.raises(ValueError, match=r"holds none of images/\*\.png, images_001/images"):
        read_manifest(tmp_path)
