"""Archives are told by their content, under any name; other files are issues with a name."""

import bz2
import gzip
import lzma
import os
import zipfile
from pathlib import Path

import pytest

from cxr14.datasets import archive_kinds
from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.image_sources import find_containers, read_members
from cxr14.datasets.issues import UNUSABLE
from cxr14.datasets.manifest import list_images
from cxr14.errors import UserError
from tests.datasets.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(4)
FIRST = min(PNGS)
LOOSE = {"loose.png": some_pngs(5)["00000005_000.png"]}


def write_as(path: Path, kind: str) -> None:
    """Write the images in an archive of a kind, whatever the name says."""
    plain = path.with_name("plain.tar" if kind != "zip" else "plain.zip")
    write_archive(plain, PNGS)
    content = plain.read_bytes()
    plain.unlink()
    packers = {"tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
    path.write_bytes(packers[kind](content) if kind in packers else content)


def issues_of(folder: Path) -> dict[str, str]:
    """List the folder; return the kind of issue by file and name."""
    table = list_images(folder).issues
    places = table["file"].str.cat(table["name"], " ").str.strip()
    return dict(zip(places, table["issue"], strict=True))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("images-224.tar", "tar"),
        ("CXR8.TAR", "tar"),
        ("images_001.tgz", "tar.gz"),
        ("images_001.TAR.GZ", "tar.gz"),
        ("part.Tgz", "tar.gz"),
        ("images.tar.bz2", "tar.bz2"),
        ("images.tbz2", "tar.bz2"),
        ("images.tar.xz", "tar.xz"),
        ("images.TXZ", "tar.xz"),
        ("My Images (1).ZIP", "zip"),
    ],
)
def test_an_archive_is_read_under_any_name(tmp_path, name, kind):
    write_as(tmp_path / name, kind)
    listing = list_images(tmp_path)
    assert listing.manifest.image.tolist() == sorted(PNGS)
    assert set(listing.manifest.container) == {name}
    assert len(listing.issues) == 0
    members = listing.manifest.member.tolist()
    assert dict(read_members(tmp_path, name, members)).keys() == set(members)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("images_001.tar.gz", "tar"),
        ("images_001.tar", "tar.gz"),
        ("images_001.tar", "zip"),
        ("images_001.zip", "tar"),
        ("images.7z", "zip"),
        ("images.tgz", "tar.xz"),
        ("download", "tar.gz"),
        ("images.bin", "zip"),
        ("images.gz", "tar.gz"),
    ],
)
def test_an_archive_of_another_kind_than_its_name_says_is_read_and_listed(tmp_path, name, kind):
    """Browsers unpack a .tar.gz and keep its name; others pack it again."""
    write_as(tmp_path / name, kind)
    listing = list_images(tmp_path)
    assert listing.manifest.image.tolist() == sorted(PNGS)
    assert listing.issues.values.tolist() == [
        [
            "download",
            name,
            "",
            "wrong suffix",
            "kept",
            f"a .{kind} by its content, and read as such",
        ]
    ]


UNREAD = {  # name and content of files that hold no image which is read
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(600), "unreadable archive"),
    "b.rar": (b"Rar!\x1a\x07\x01\x00" + bytes(600), "unreadable archive"),
    "c.tar.zst": (b"\x28\xb5\x2f\xfd" + bytes(600), "unreadable archive"),
    "d": (b"7z\xbc\xaf\x27\x1c" + bytes(600), "unreadable archive"),
    "DICOMDIR": (bytes(128) + b"DICM\2\0\2\0UI\x14\x001.2.840.10008.1.3.10", "other image format"),
    "e.dcm.gz": (gzip.compress(bytes(128) + b"DICM", mtime=0), "compressed image"),
    "f": (bytes(128) + b"DICM" + bytes(300), "no image suffix"),
    "g.tif": (b"II*\0", "other image format"),
    "h.BMP": (b"BM", "other image format"),
    "i.webp": (b"RIFF", "other image format"),
    "j.jp2": (b"\0\0\0\x0cjP", "other image format"),
    "k.gif": (b"GIF89a", "other image format"),
    "l.nii.gz": (gzip.compress(b"x", mtime=0), "other image format"),
    "m.png.gz": (gzip.compress(PNGS[FIRST]), "compressed image"),
    "n": (PNGS[FIRST], "no image suffix"),
    "o.0001": (b"\xff\xd8\xff\xe0" + bytes(40), "no image suffix"),
    "p.tar.gz": (b"<!DOCTYPE html><p>Sign in", "not an archive"),
    "q.zip": (b"", "not an archive"),
    "r.tgz": (b"version https://git-lfs.github.com/spec/v1\n", "not an archive"),
    "s.tar": (b"not ours", "not an archive"),
    "t.tar.gz.part": (gzip.compress(b"x" * 600, mtime=0)[:20], "unfinished download"),
    "u.png.crdownload": (PNGS[FIRST][:50], "unfinished download"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_file_that_may_be_an_image_or_an_archive_and_is_not_read_is_listed(tmp_path, name):
    content, issue = UNREAD[name]
    write_loose(tmp_path, LOOSE | {name: content})
    assert issues_of(tmp_path) == {name: issue}


@pytest.mark.parametrize(
    "name",
    [
        "a.csv",
        "README",
        "notes.txt",
        "Thumbs.db",
        ".DS_Store",
        "t.csv.gz",
        "b.xlsx",
        "m.npz",
        "w.pickle",
        "meta.yaml.gz",
    ],
)
def test_other_files_are_no_issue(tmp_path, name):
    write_loose(tmp_path, LOOSE)
    if name.endswith((".xlsx", ".npz", ".pickle")):  # zips by their content
        write_archive(tmp_path / "x.zip", PNGS)
        (tmp_path / "x.zip").rename(tmp_path / name)
    else:
        content = gzip.compress(b"a,b\n", mtime=0) if name.endswith(".gz") else b"a,b\n"
        (tmp_path / name).write_bytes(content)
    assert issues_of(tmp_path) == {}


@pytest.mark.parametrize("outer", ["outer.zip", "outer.tar", "outer.tar.gz"])
def test_the_same_files_are_listed_within_an_archive_and_nested_archives_too(tmp_path, outer):
    plain = {name: content for name, (content, _) in UNREAD.items()}
    write_archive(tmp_path / outer, {**LOOSE, **plain, "README": b"x", "t.csv": b"a,b"})
    expected = {
        f"{outer} images/{name}": ("nested archive" if "archive" in issue else issue)
        for name, (_, issue) in UNREAD.items()
    }
    assert issues_of(tmp_path) == expected


@pytest.mark.parametrize("inner", ["inner.zip", "inner.tar.gz", "inner.tar", "inner.TGZ"])
@pytest.mark.parametrize("outer", ["outer.zip", "outer.tar.gz"])
def test_an_archive_in_an_archive_is_listed(tmp_path, outer, inner):
    write_as(tmp_path / "inner", "zip" if inner.endswith("zip") else "tar.gz")
    content = (tmp_path / "inner").read_bytes()
    (tmp_path / "inner").unlink()
    write_archive(tmp_path / outer, LOOSE | {inner: content, "no_suffix": content})
    assert issues_of(tmp_path) == {
        f"{outer} images/{inner}": "nested archive",
        f"{outer} images/no_suffix": "nested archive",
    }


def test_an_archive_without_images_is_listed_with_what_it_holds(tmp_path):
    write_loose(tmp_path, LOOSE)
    write_archive(tmp_path / "labels.tar.gz", {"a.csv": b"1", "b.txt": b"2"})
    write_archive(tmp_path / "archive.zip", {"c.csv": b"1"})
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    table = list_images(tmp_path).issues
    assert set(table.issue) == {"archive without images"}
    assert dict(zip(table["file"], table["detail"], strict=True)) == {
        "archive.zip": "it holds images/c.csv",
        "empty.zip": "it holds no member",
        "labels.tar.gz": "it holds images/a.csv, images/b.txt",
    }


def test_an_archive_of_the_set_without_images_is_an_error(tmp_path):
    write_loose(tmp_path, LOOSE)
    write_archive(tmp_path / "images_001.tar.gz", {"a.csv": b"1"})
    with pytest.raises(
        ValueError, match=r"images_001\.tar\.gz: no image in it; it holds images/a\.csv; fetch"
    ):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("cxr.tar.gz", b"<!DOCTYPE html><p>Sign in", "it is an HTML page"),
        ("cxr.zip", b"", "it is empty"),
        (
            "cxr.tgz",
            b"version https://git-lfs.github.com/spec/v1\n",
            "Git LFS pointer; run `git lfs",
        ),
        ("cxr.tar", b'{"error": "quota"}', r"""it starts with '\{"error": "quota"\}'"""),
        ("cxr.tar.gz", gzip.compress(b"x" * 2000, mtime=0), "a compressed file but no tar"),
        ("cxr.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive, which is not read; unpack it"),
        ("images_001.zip", b"Rar!\x1a\x07\x00", "a RAR archive, which is not read"),
        ("images_001.tar.gz", b"\n<HTML>", "it is an HTML page"),
        ("images_001.tar", b"", "it is empty"),
    ],
)
def test_what_is_no_archive_is_described_if_there_is_nothing_else(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*{told}") as raised:
        list_images(tmp_path)
    assert "\n" not in str(raised.value)


def test_an_archive_alone_without_images_says_what_it_holds(tmp_path):
    write_archive(tmp_path / "cxr.tar", {"a.csv": b"1"})
    with pytest.raises(ValueError, match=r"no image in cxr\.tar .* \(it holds images/a\.csv\)"):
        list_images(tmp_path)


def test_images_are_not_opened_to_find_the_archives(tmp_path, monkeypatch):
    """Of 112,120 images on a file server each look takes milliseconds."""
    write_loose(tmp_path, PNGS)
    write_archive(tmp_path / "a.tar", PNGS)
    opened = []
    original = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *args, **kw: opened.append(self.name) or original(self, *args, **kw),
    )
    assert find_containers(tmp_path) == ["a.tar", ""]
    assert opened == ["a.tar"]


def test_a_name_of_an_archive_that_is_no_text_is_listed(tmp_path):
    """Such a name cannot stand in the manifest."""
    write_loose(tmp_path, LOOSE)
    write_as(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tar")), "tar")
    assert issues_of(tmp_path) == {"'\\udcff.tar'": "unprintable name"}


def test_the_kind_of_an_empty_tar_is_that_of_its_name(tmp_path):
    for name in ("a.tar", "a.bin"):
        (tmp_path / name).write_bytes(bytes(10240))
    assert archive_kinds.sniff_kind(tmp_path / "a.tar") == "tar"
    assert archive_kinds.sniff_kind(tmp_path / "a.bin") is None
    assert archive_kinds.fault_of_file(tmp_path / "a.bin") is None


def test_what_is_no_regular_file_is_listed_and_never_opened(tmp_path):
    """Opening a named pipe waits for a writer that never comes."""
    write_loose(tmp_path, LOOSE)
    for name in ("images_001.tar", "pipe", "x.zip"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "null.tar").symlink_to("/dev/null")
    (tmp_path / "images_002").symlink_to("/nowhere/images")
    (tmp_path / "loop").symlink_to("loop")
    report = Report()
    assert find_containers(tmp_path, report) == [""]
    assert {one.file or one.name: one.issue for one in report.issues} == {
        "images_001.tar": "special file",
        "pipe": "special file",
        "x.zip": "special file",
        "null.tar": "special file",
        "images_002": "unreadable",
        "loop": "unreadable",
    }


def test_an_archive_or_image_that_cannot_be_read_is_one_sentence(tmp_path):
    """The content of this file of Linux cannot be read, by root neither."""
    memory = "/proc/self/mem"
    write_loose(tmp_path, LOOSE)
    (tmp_path / "a.png").symlink_to(memory)
    (tmp_path / "b.tar").symlink_to(memory)
    assert issues_of(tmp_path) == {"a.png": "unreadable", "b.tar": "unreadable"}
    (tmp_path / "images_001.tar").symlink_to(memory)
    for workers in (1, 2):  # also from another process
        with pytest.raises(
            UserError, match=r"images_001\.tar cannot be read \(Input/output error\)"
        ):
            list_images(tmp_path, workers)


@pytest.mark.parametrize(
    "issue", ["unreadable archive", "nested archive", "compressed image", "no image suffix"]
)
def test_an_issue_behind_which_images_are_stops_a_strict_run(issue):
    assert issue in UNUSABLE
