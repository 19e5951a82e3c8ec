"""Data after the end of an archive: other archives are read, anything else is listed."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from cxr14.datasets.image_sources import read_members
from cxr14.datasets.issues import UNUSABLE
from cxr14.datasets.manifest import list_images
from tests.datasets.archives.hostile import add
from tests.datasets.pictures import some_pngs, write_archive

PNGS = some_pngs(4)
NAMES = sorted(PNGS)


def tar_of(*numbers: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in numbers:
            add(archive, NAMES[number], PNGS[NAMES[number]])
    return buffer.getvalue()


FIRST, SECOND = tar_of(0, 1), tar_of(2, 3)
PACKERS = {"tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}


def listed(path):
    listing = list_images(path.parent)
    rows = listing.issues[["file", "name", "issue", "action"]].values.tolist()
    return listing.manifest.image.tolist(), rows, " ".join(listing.issues.detail)


@pytest.mark.parametrize("kind", ["tar", *PACKERS])
def test_archives_one_after_the_other_are_all_read(tmp_path, kind):
    """As `cat images_001.tar images_002.tar > all.tar` makes them; tar itself reads the first."""
    pack = PACKERS.get(kind, bytes)
    path = tmp_path / f"all.{kind}"
    path.write_bytes(pack(FIRST) + pack(SECOND))
    images, issues, detail = listed(path)
    assert images == NAMES
    assert issues == [[path.name, "", "joined archives", "kept"]]
    assert detail == f"another archive starts at byte {len(FIRST)}; both are read"
    assert dict(read_members(tmp_path, path.name, NAMES[3:])) == {NAMES[3]: PNGS[NAMES[3]]}
    assert dict(read_members(tmp_path, path.name, NAMES)) == PNGS


@pytest.mark.parametrize("kind", PACKERS)
def test_one_archive_in_several_compressed_streams_is_read_as_one(tmp_path, kind):
    """As pigz, pbzip2 or an appending logger makes them."""
    pack = PACKERS[kind]
    path = tmp_path / f"all.{kind}"
    whole = tar_of(0, 1, 2, 3)
    path.write_bytes(b"".join(pack(whole[at : at + 700]) for at in range(0, len(whole), 700)))
    assert listed(path) == (NAMES, [], "")


@pytest.mark.parametrize("kind", ["tar", *PACKERS])
def test_zeros_after_the_end_are_no_issue(tmp_path, kind):
    pack = PACKERS.get(kind, bytes)
    path = tmp_path / f"all.{kind}"
    path.write_bytes(pack(FIRST + bytes(100_000)) + bytes(200_000))
    assert listed(path) == (NAMES[:2], [], "")


@pytest.mark.parametrize("kind", ["tar", *PACKERS])
@pytest.mark.parametrize("garbage", [b"garbage", bytes(512) + b"g" * 70_000, b"\x1f"])
def test_other_data_after_the_end_is_listed(tmp_path, kind, garbage):
    pack = PACKERS.get(kind, bytes)
    path = tmp_path / f"all.{kind}"
    path.write_bytes(pack(FIRST) + garbage)
    images, issues, detail = listed(path)
    assert images == NAMES[:2]
    assert issues == [[path.name, "", "unread data", "skipped"]]
    unread = len(garbage.lstrip(b"\0"))
    assert detail.startswith(str(unread) if kind != "tar" else "from byte")
    assert "unread data" in UNUSABLE


@pytest.mark.parametrize("kind", PACKERS)
def test_other_data_after_the_end_within_the_compressed_data_is_listed(tmp_path, kind):
    path = tmp_path / f"all.{kind}"
    path.write_bytes(PACKERS[kind](FIRST + b"garbage" * 10_000))
    images, issues, detail = listed(path)
    assert (images, issues) == (NAMES[:2], [[path.name, "", "unread data", "skipped"]])
    assert f"from byte {len(FIRST)}" in detail


@pytest.mark.parametrize("kind", PACKERS)
def test_a_second_stream_that_breaks_off_is_an_error(tmp_path, kind):
    pack = PACKERS[kind]
    path = tmp_path / f"all.{kind}"
    path.write_bytes(pack(FIRST) + pack(SECOND)[:-8])
    with pytest.raises(ValueError, match=rf"all\.{kind}: not a whole archive .*breaks off"):
        list_images(tmp_path)


def test_a_second_archive_that_breaks_off_is_an_error(tmp_path):
    (tmp_path / "all.tar").write_bytes(FIRST + SECOND[:600])
    with pytest.raises(ValueError, match=r"all\.tar: not a whole archive .*breaks off"):
        list_images(tmp_path)


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_compressed_tar_that_breaks_off_or_is_damaged_is_an_error(tmp_path, kind, share):
    path = tmp_path / f"all.{kind}"
    content = bytearray(PACKERS[kind](tar_of(0, 1, 2, 3)))
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"all\.{kind}: not a whole archive"):
        list_images(tmp_path)
    content[int(len(content) * share)] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"all\.{kind}: not a whole archive .*(damaged|invalid)"):
        list_images(tmp_path)


def test_a_zip_after_another_or_after_other_data_is_listed(tmp_path):
    """Of joined zips only the last has a table of contents that is found."""
    write_archive(tmp_path / "a.zip", {NAMES[0]: PNGS[NAMES[0]]})
    first = (tmp_path / "a.zip").read_bytes()
    write_archive(tmp_path / "a.zip", {NAMES[1]: PNGS[NAMES[1]]})
    second = (tmp_path / "a.zip").read_bytes()
    for before in (first, b"#!/bin/sh\n" * 100):
        (tmp_path / "a.zip").write_bytes(before + second)
        images, issues, detail = listed(tmp_path / "a.zip")
        assert images == [NAMES[1]]
        assert issues == [["a.zip", "", "unread data", "skipped"]]
        assert detail == f"{len(before)} bytes before the first member belong to none"


def test_data_after_the_end_of_a_zip_is_listed_and_a_comment_is_not(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(NAMES[0], PNGS[NAMES[0]])
        archive.comment = b"from the ward"
    assert listed(tmp_path / "a.zip") == ([NAMES[0]], [], "")
    with (tmp_path / "a.zip").open("ab") as file:
        file.write(b"garbage")
    assert listed(tmp_path / "a.zip") == (
        [NAMES[0]],
        [["a.zip", "", "unread data", "skipped"]],
        "7 bytes after the end of the zip",
    )


def test_an_xz_that_needs_gigabytes_of_memory_is_an_error(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**30}]
    packed = io.BytesIO()
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    packed.write(compressor.compress(FIRST) + compressor.flush())
    (tmp_path / "a.tar.xz").write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match=r"a\.tar\.xz: not a whole archive .*[Mm]emory"):
        list_images(tmp_path)
