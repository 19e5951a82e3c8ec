"""Zips as other programs write them, and names that stand twice."""

import struct
import tarfile
import warnings
import zipfile

import pytest

from cxr14.datasets.image_sources import read_members
from cxr14.datasets.issues import UNUSABLE
from cxr14.datasets.manifest import list_images
from tests.datasets.archives.hostile import add
from tests.datasets.pictures import some_pngs

PNGS = some_pngs(3)
NAMES = sorted(PNGS)
FIRST, SECOND = NAMES[:2]


def append(path, name, content):
    """Add a member whose name may be in the archive already; return where it starts."""
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(name, content)
        return archive.infolist()[-1].header_offset


def write_zip(path, names=NAMES, force_zip64=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with archive.open(name, "w", force_zip64=force_zip64) as file:
                file.write(PNGS[name])


def issues_of(folder):
    table = list_images(folder).issues
    return dict(zip(table["name"], zip(table["issue"], table["detail"], strict=True), strict=True))


def test_a_zip64_is_read(tmp_path):
    write_zip(tmp_path / "a.zip", force_zip64=True)
    listing = list_images(tmp_path)
    assert (listing.manifest.image.tolist(), len(listing.issues)) == (NAMES, 0)


def test_more_members_than_sixteen_bits_count_are_all_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(2**16 + 10):
            archive.writestr(f"{number}.txt", b"")
        archive.writestr(FIRST, PNGS[FIRST])
    assert list_images(tmp_path).manifest.image.tolist() == [FIRST]


def test_deflate64_as_windows_packs_large_files_is_named(tmp_path):
    write_zip(tmp_path / "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, at + 10, 9)
    (tmp_path / "a.zip").write_bytes(content)
    assert issues_of(tmp_path) == {
        FIRST: ("unsupported compression", "packed by deflate64; only stored and deflate are read")
    }


@pytest.mark.parametrize("by", [-46, -1, 1, 46])
@pytest.mark.parametrize(
    ("field", "told"),
    [(12, "not a whole archive"), (16, f"a.zip {FIRST}: damaged")],
    ids=["size", "start"],
)
def test_a_wrong_table_of_contents_is_an_error_and_never_a_shorter_list(tmp_path, field, told, by):
    write_zip(tmp_path / "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x05\x06") + field
    struct.pack_into("<L", content, at, struct.unpack_from("<L", content, at)[0] + by)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        list_images(tmp_path)


def test_an_image_twice_in_a_zip_is_taken_once(tmp_path):
    write_zip(tmp_path / "a.zip", [FIRST])
    append(tmp_path / "a.zip", FIRST, PNGS[FIRST])
    assert issues_of(tmp_path) == {
        FIRST: ("repeated", f"the same as a.zip/{FIRST}, which is taken")
    }


@pytest.mark.parametrize("damaged", [0, 1])
def test_of_an_image_twice_in_a_zip_the_sound_one_is_listed_and_read(tmp_path, damaged):
    path = tmp_path / "a.zip"
    write_zip(path, [FIRST])
    offset = (0, append(path, FIRST, PNGS[FIRST]))[damaged]
    content = bytearray(path.read_bytes())
    content[offset + 30 + len(FIRST) + 60] ^= 255
    path.write_bytes(content)
    listing = list_images(tmp_path)
    assert listing.manifest.image.tolist() == [FIRST]
    assert listing.issues.issue.tolist() == ["damaged"]
    assert dict(read_members(tmp_path, "a.zip", [FIRST])) == {FIRST: PNGS[FIRST]}


@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_two_contents_under_one_name_in_an_archive_are_an_error(tmp_path, kind):
    """As `tar --append` leaves a file that was corrected."""
    if kind == "a.zip":
        write_zip(tmp_path / kind, [FIRST])
        append(tmp_path / kind, FIRST, PNGS[SECOND])
    else:
        with tarfile.open(tmp_path / kind, "w") as archive:
            add(archive, FIRST, PNGS[FIRST])
            add(archive, FIRST, PNGS[SECOND])
    with pytest.raises(ValueError, match=rf"{FIRST} is in {kind} twice, with contents that differ"):
        list_images(tmp_path)


def test_the_same_damage_is_an_issue_in_every_zip_that_stops_a_strict_run(tmp_path):
    write_zip(tmp_path / "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[100] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    issues = issues_of(tmp_path)
    assert list(issues) == [FIRST]
    assert issues[FIRST][0] == "damaged"
    assert "damaged" in UNUSABLE


def test_hidden_files_that_macos_packs_are_listed_and_lose_no_image(tmp_path):
    write_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr(f"__MACOSX/._{FIRST}", b"x")
        archive.writestr("__MACOSX/._images.tar", b"x")
        archive.writestr(".DS_Store", b"x")
    issues = issues_of(tmp_path)
    assert {name: issue for name, (issue, _) in issues.items()} == {
        f"__MACOSX/._{FIRST}": "hidden file"
    }
    assert "hidden file" not in UNUSABLE


def test_an_image_whose_name_is_damaged_is_listed(tmp_path):
    write_zip(tmp_path / "a.zip")
    content = (tmp_path / "a.zip").read_bytes()
    at = content.rindex(FIRST.encode())  # in the table of contents
    changed = content[:at] + FIRST.replace(".png", ".pnx").encode() + content[at + len(FIRST) :]
    (tmp_path / "a.zip").write_bytes(changed)
    assert issues_of(tmp_path)[FIRST.replace(".png", ".pnx")][0] == "damaged"
