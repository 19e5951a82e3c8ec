"""Kinds of files by name and content, and the checks of archives and their members.

Nothing is extracted to disk, so a member may have any path. These checks protect something:
  - sizes: an image, a header and the whole inflated archive are bounded, against bombs;
  - completeness: a truncated or damaged archive is an error, data after its end an issue;
  - duplicates: one image name with two contents is an error (``image_sources.check_manifest``);
  - links, devices and sparse files are never read;
  - names that the manifest (UTF-8) cannot hold, and hidden files (macOS metadata), are issues.
"""

import re
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import Literal, NamedTuple, get_args

from cxr14.datasets.streams import MAGIC, Inflated, StreamError
from cxr14.errors import UserError, quote

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".dic")
IMAGE_BYTES = 64 * 2**20
"""Maximum size of an image. NIH's have 0.4 MB; 4096×4096 px in 16 bits are 32 MiB."""

INFLATED_FLOOR, INFLATED_RATIO = 128 * 2**20, 20
"""Maximum inflated size of an archive: the larger of FLOOR bytes and RATIO times its size. PNG and
JPEG are compressed already (the ratio of NIH's archives is 1.0), while deflate can reach 1032."""

NAME_LENGTH = 200
"""Maximum length of a name in an issue, in characters."""

NAMES_KEPT = 3
"""Number of member names that describe an archive without images."""

TABLE_NOT_READ = "table not read"
"""Issue of a table or list in a location, or under a name, that is not read."""

Fault = tuple[str, str]
"""Issue (its kind) and detail; see :mod:`cxr14.datasets.issues`."""


class BombError(UserError):
    """Error of an archive that inflates beyond :func:`allowance`."""


class Issue(NamedTuple):
    """Row of :mod:`cxr14.datasets.issues` without the stage."""

    file: str
    name: str
    issue: str
    action: str
    detail: str


@dataclass
class Report:
    """Issues, member names and progress of a reader.

    Attributes:
        issues: filled while reading.
        members: the first names in an archive, images or not.
        advance: called with the number of packed bytes read since the last call.
    """

    issues: list[Issue] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    advance: Callable[[int], None] = lambda count: None

    def add(self, container: str, member: str, fault: Fault, action: str = "skipped") -> None:
        """Add the issue of a file or member."""
        names = printable_name(container), printable_name(member)
        self.issues.append(Issue(*names, fault[0], action, fault[1]))

    def add_member(self, member: str) -> None:
        """Record the name of a member of an archive."""
        if len(self.members) < NAMES_KEPT:
            self.members.append(printable_name(member))


def printable_name(name: str) -> str:
    """Return a name, escaped if not printable, of at most NAME_LENGTH characters."""
    return (name if name.isprintable() else repr(name))[:NAME_LENGTH]


def is_image(member: str) -> bool:
    """Tell whether a name has the suffix of an image; the content decides the format."""
    return member.lower().endswith(IMAGE_SUFFIXES)


SEPARATOR = re.compile(r"[/\\]")  # of member paths; archives made on Windows have backslashes


def image_name(member: str) -> str:
    """Return the image's name in the table: always .png, whatever the suffix of the file.

    Unicode is normalized (NFC), since macOS may store ü as u and a combining mark.
    """
    base = SEPARATOR.split(member)[-1]
    return unicodedata.normalize("NFC", f"{PurePosixPath(base).stem}.png")


def name_fault(member: str) -> Fault | None:
    """Return the fault of an image's name, or None."""
    if not member.isprintable():
        return "unprintable name", "its name has characters that are no text"
    parts = SEPARATOR.split(member)
    if any(part.startswith(".") and part not in (".", "..") for part in parts):
        return "hidden file", "a hidden file: its name or that of its folder starts with a dot"
    return None


def size_fault(size: int) -> Fault | None:
    """Return the fault of an image's size in bytes, or None."""
    if size > IMAGE_BYTES:
        return "too large", f"{size} bytes; an image has at most {IMAGE_BYTES}"
    return None


def allowance(packed: int) -> int:
    """Return the maximum inflated size of an archive of `packed` bytes."""
    return max(INFLATED_FLOOR, INFLATED_RATIO * packed)


# Kinds of files.

ArchiveKind = Literal["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"]
KINDS: tuple[ArchiveKind, ...] = get_args(ArchiveKind)

SUFFIXES: dict[str, ArchiveKind | None] = {  # None: a format that is not read
    **{f".{kind}": kind for kind in KINDS},
    **{".tgz": "tar.gz", ".taz": "tar.gz", ".tbz": "tar.bz2", ".tbz2": "tar.bz2"},
    **{".txz": "tar.xz", ".tar.zst": None, ".tzst": None, ".tar.lz4": None, ".tar.lzma": None},
    **{".tar.z": None, ".tar.lz": None, ".7z": None, ".rar": None, ".zipx": None},
}
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x1f\x9d": "compress (.Z)",
    b"LZIP": "lzip",
}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
UNFINISHED = (".part", ".crdownload", ".partial", ".download", ".aria2", ".filepart")
OTHER_IMAGES = (
    *(".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".gif"),
    *(".heic", ".heif", ".avif", ".jxl", ".pgm", ".ppm", ".pnm", ".tga", ".jfif", ".jpe"),
    *(".nii", ".mha", ".mhd", ".nrrd"),
)
OTHER_FILES = {  # never opened; the last two lines are zips by their content
    *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".md", ".rst", ".pdf"),
    *(".html", ".htm", ".py", ".ipynb", ".sh", ".bat", ".log", ".ini", ".toml", ".cfg", ".xls"),
    *(".doc", ".npy", ".parquet", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".safetensors"),
    *(".md5", ".sha1", ".sha256", ".dvc", ".lock", ".db", ".sqlite", ".url", ".lnk"),
    *(".xlsx", ".docx", ".pptx", ".odt", ".ods", ".odp", ".npz", ".pt", ".pth", ".ckpt", ".jar"),
    *(".whl", ".egg", ".apk", ".epub", ".keras", ".mar", ".nupkg", ".vsix"),
}
HEAD = tarfile.BLOCKSIZE
"""Number of first bytes that identify a file."""


def named_kind(name: str) -> ArchiveKind | None:
    """Return the kind of archive by the suffix of a name; None if no such archive is read."""
    return SUFFIXES.get(_archive_suffix(name))


def is_archive_name(name: str) -> bool:
    """Tell whether a name has the suffix of an archive, read or not."""
    return _archive_suffix(name) != ""


def _archive_suffix(name: str) -> str:
    return max((end for end in SUFFIXES if name.lower().endswith(end)), key=len, default="")


def is_opened(name: str) -> bool:
    """Tell whether the first bytes of a file are read; some suffixes identify it already."""
    return _suffixes(name).isdisjoint(OTHER_FILES)


def _suffixes(name: str) -> set[str]:
    """Return the last suffix in lower case, and the one before that of a compressed file."""
    stem, last = splitext(name.lower())
    return {last, splitext(stem)[1]} if last in COMPRESSED else {last}


def sniff_kind(path: Path) -> ArchiveKind | None:
    """Return the kind of archive by content; None if it is no archive that can be read.

    A compressed file whose content cannot be identified has the kind of its name.

    Raises:
        OSError: the file cannot be read.
    """
    named = named_kind(path.name)
    with path.open("rb") as file:
        head = file.read(HEAD)
        for compression, magic in MAGIC.items():
            if head.startswith(magic):
                file.seek(0)
                return _compressed_kind(Inflated(file, path.stat().st_size, compression), named)
    if head.startswith(ZIP):
        return "zip"
    if _is_tar(head, named == "tar"):
        return "tar"
    # Other data may stand before a zip, which is read from its end.
    return "zip" if named == "zip" and zipfile.is_zipfile(path) else None


def _compressed_kind(content: Inflated, named: ArchiveKind | None) -> ArchiveKind | None:
    kind = next(kind for kind in KINDS if kind == f"tar.{content.compression}")
    try:
        if _is_tar(content.read(HEAD), named == kind):
            return kind
        content.seek(2**20)  # bzip2 only finds damage at the end of a block, of at most 900 kB
    except StreamError:
        return kind if named == kind else None
    return None


def _is_tar(head: bytes, named: bool) -> bool:
    """Tell whether a block starts a tar; zeros are an empty tar if the name is that of a tar."""
    if len(head) < HEAD:
        return False
    if not head.strip(b"\0"):
        return named
    # A damaged header counts as well: its reader raises the error.
    return is_tar_header(head) or head[257:262] == b"ustar"


def is_tar_header(block: bytes) -> bool:
    """Tell whether a block is the header of a tar's member."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def fault_of_name(name: str) -> Fault | None:
    """Return the fault of a file by its name, or None."""
    inner, suffix = splitext(name.lower())
    if suffix in UNFINISHED and (is_image(inner) or is_archive_name(inner)):
        return "unfinished download", "fetch it again, or remove it"
    if suffixes := _suffixes(name).intersection(OTHER_IMAGES):
        return "other image format", f"{min(suffixes)} is not read; convert it to PNG or JPEG"
    if suffix in COMPRESSED and is_image(inner):
        return "compressed image", f"an image in {suffix} is not read; unpack it"
    return None


def fault_of_member(name: str, head: bytes) -> Fault | None:
    """Return the fault of an archive member by its name and first HEAD bytes, or None."""
    packed = (*ZIP, *MAGIC.values(), *OTHER_ARCHIVES)
    if is_archive_name(name) or head.startswith(packed):
        return "nested archive", "an archive in an archive is not read; unpack it"
    return _fault_of_image(head)


def fault_of_file(path: Path) -> Fault | None:
    """Return the fault of a file that is neither an image by name nor a readable archive.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if fault := _fault_of_image(head):
        return fault
    archive = is_archive_name(path.name)
    if head.startswith((*OTHER_ARCHIVES,)) or (archive and named_kind(path.name) is None):
        return "unreadable archive", f"{describe_head(head)}; unpack it, or pack it as .tar or .zip"
    return ("not an archive", describe_head(head)) if archive else None


def _fault_of_image(head: bytes) -> Fault | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "no image suffix", "a PNG by its content; add .png to its name"
    if head.startswith(b"\xff\xd8\xff"):
        return "no image suffix", "a JPEG by its content; add .jpg to its name"
    if is_dicom(head) and b"1.2.840.10008.1.3.10" in head:  # the SOP class of DICOMDIR
        return "other image format", "a DICOM directory, which holds no image"
    if is_dicom(head):
        return "no image suffix", "a DICOM by its content; add .dcm to its name"
    return None


def is_dicom(content: bytes) -> bool:
    """Tell whether the content is that of a DICOM file: DICM after a preamble of 128 bytes."""
    return content[128:132] == b"DICM"


def describe_head(head: bytes) -> str:
    """Describe a file that should be an archive, by its first HEAD bytes."""
    start = head.lstrip().lower()
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page"
    for magic, name in OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return f"it is a {name} archive, which is not read"
    if not head.strip(b"\0"):
        return "it starts with zeros only"
    if head.startswith((*MAGIC.values(),)):
        return "it is a compressed file but no tar"
    text = head[:60].decode("utf-8", "replace")
    return f"it starts with {quote(text)}, which is neither a tar nor a zip"
