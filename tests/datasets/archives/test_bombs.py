"""Archives that would fill the memory, or never end."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from isal import igzip

from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.image_sources import iterate_container
from tests.datasets.archives.hostile import add, add_zeros, read_tracked, write_zeros
from tests.datasets.pictures import some_pngs

IMAGE = some_pngs(1)["00000001_000.png"]


def write_bomb(path: Path, member: str, size: int) -> None:
    """An archive of some kilobytes to megabytes with a member of `size` zeros."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("images/good.png", IMAGE)
            with archive.open(member, "w", force_zip64=True) as file:
                write_zeros(file, size)
        return
    with (
        igzip.open(path, "wb", compresslevel=0) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        add(tar, "images/good.png", IMAGE)
        add_zeros(tar, member, size)


def test_a_bomb_of_2_gb_in_a_zip_is_refused_by_name_and_takes_no_memory(tmp_path):
    write_bomb(tmp_path / "images_001.zip", "images/bomb.png", 2**31)
    images, report, peak, error = read_tracked(tmp_path, "images_001.zip")
    assert (list(images), error) == (["images/good.png"], "")
    assert [one.name for one in report.issues] == ["images/bomb.png"]
    assert "2147483648 bytes" in report.issues[0].detail
    assert peak < 2 * 2**20


@pytest.mark.parametrize("member", ["images/bomb.png", "bomb.txt"])
def test_a_bomb_of_2_gb_in_a_tar_gz_is_not_inflated_to_its_end(tmp_path, member):
    write_bomb(tmp_path / "images_001.tar.gz", member, 2**31)
    images, report, peak, error = read_tracked(tmp_path, "images_001.tar.gz")
    assert list(images) == ["images/good.png"]
    assert [one.name for one in report.issues] == [member] * (member != "bomb.txt")
    assert "images_001.tar.gz: inflates to over" in error
    assert "2 members were read before" in error
    assert peak < 4 * 2**20


def test_images_that_each_pass_but_together_inflate_without_end_are_a_bomb(tmp_path):
    path = tmp_path / "images_001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(5):
            with archive.open(f"images/{number}.png", "w") as file:
                write_zeros(file, 2**25)
    report = Report()
    images = iterate_container(tmp_path, path.name, report)
    assert [len(next(images)[1]) for _ in range(4)] == [2**25] * 4
    with pytest.raises(ValueError, match=r"images_001\.zip: inflates to over .* images/4\.png"):
        next(images)


def test_zeros_behind_the_end_of_a_tar_do_not_inflate_without_end(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "images/good.png", IMAGE)
    with igzip.open(tmp_path / "images_001.tar.gz", "wb", compresslevel=0) as file:
        file.write(buffer.getvalue())
        write_zeros(file, 2**29)
    with pytest.raises(ValueError, match="inflates to over"):
        list(iterate_container(tmp_path, "images_001.tar.gz"))


def test_a_zip_member_that_hides_its_size_is_cut_off_and_refused(tmp_path):
    """Its header says 5 bytes, its data inflate to 100 MB."""
    path = tmp_path / "images_001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images/liar.png", "w") as file:
            write_zeros(file, 10**8)
        archive.writestr("images/good.png", IMAGE)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 10**8), struct.pack("<L", 5)))
    images, report, peak, error = read_tracked(tmp_path, path.name)
    assert (list(images), error) == (["images/good.png"], "")
    assert "images/liar.png" in report.issues[0].name
    assert report.issues[0].issue == "damaged"
    assert peak < 4 * 2**20


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path, kind):
    """tarfile reads an extended header into memory at once, whatever its size."""
    with tarfile.open(tmp_path / "images_001.tar.gz", "w:gz", compresslevel=1) as archive:
        add_zeros_of(archive, kind, 2**28)
        add(archive, "images/good.png", IMAGE)
    _, _, peak, error = read_tracked(tmp_path, "images_001.tar.gz")
    assert "a header of 268435456 bytes" in error
    assert peak < 4 * 2**20


def add_zeros_of(archive: tarfile.TarFile, kind: bytes, size: int) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, size
    archive.fileobj.write(header.tobuf(tarfile.GNU_FORMAT))
    write_zeros(archive.fileobj, size)
    archive.offset += 512 + size


def test_headers_of_headers_without_end_are_no_crash(tmp_path):
    with tarfile.open(tmp_path / "images_001.tar", "w") as archive:
        for _ in range(3000):
            add_zeros_of(archive, tarfile.GNUTYPE_LONGNAME, 512)
    with pytest.raises(ValueError, match=r"not a whole archive .*recursion"):
        list(iterate_container(tmp_path, "images_001.tar"))


def test_many_members_take_no_memory(tmp_path):
    """tarfile keeps the header of every member that it has met."""
    with tarfile.open(tmp_path / "images_001.tar", "w") as archive:
        for number in range(20_000):
            add(archive, f"notes/{number}.txt")
            archive.members = []
    _, _, peak, error = read_tracked(tmp_path, "images_001.tar")
    assert error == ""
    assert peak < 2 * 2**20
