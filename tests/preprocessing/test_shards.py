"""How a manifest is cut into shards: by what its archives are, and not by their names."""

import gzip

import pytest

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing import shards
from tests.datasets.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(5)


@pytest.mark.parametrize(
    ("name", "compressed", "sizes"),
    [
        ("images_001.tar.gz", True, [5]),
        ("images.TGZ", True, [5]),
        ("images_001.tar", True, [5]),
        ("images_001.tar.gz", False, [2, 2, 1]),
        ("IMAGES.TAR", False, [2, 2, 1]),
    ],
)
def test_a_compressed_tar_is_one_shard_and_a_plain_one_is_not(
    tmp_path, monkeypatch, name, compressed, sizes
):
    """A compressed archive cannot be entered in the middle: each shard would inflate all of it."""
    monkeypatch.setattr(shards, "SHARD", 2)
    write_archive(tmp_path / "plain.tar", PNGS)
    content = (tmp_path / "plain.tar").read_bytes()
    (tmp_path / "plain.tar").unlink()
    (tmp_path / name).write_bytes(gzip.compress(content) if compressed else content)
    parts = shards.cut(list_images(tmp_path).manifest, tmp_path)
    assert [len(part.rows) for part in parts] == sizes


def test_zips_and_files_of_folders_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 4)
    write_archive(tmp_path / "a.zip", PNGS)
    write_loose(tmp_path, {"loose.png": some_pngs(6)["00000006_000.png"]})
    parts = shards.cut(list_images(tmp_path).manifest, tmp_path)
    assert [(part.container, len(part.rows)) for part in parts] == [
        ("", 1),
        ("a.zip", 4),
        ("a.zip", 1),
    ]


def test_an_archive_that_is_gone_is_one_shard(tmp_path):
    write_archive(tmp_path / "a.tar", PNGS)
    manifest = list_images(tmp_path).manifest
    (tmp_path / "a.tar").unlink()
    assert len(shards.cut(manifest, tmp_path)) == 1
