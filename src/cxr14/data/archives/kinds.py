"""What a file is: an archive that can be read, or a file that is listed as an issue."""

import tarfile
import zipfile
from pathlib import Path
from posixpath import splitext
from typing import Literal, get_args

from cxr14.data.archives.inflate import MAGIC, Inflated, StreamError
from cxr14.data.archives.refusals import Fault, is_image
from cxr14.errors import quote

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
    *(".dcm", ".dicom", ".dic", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".gif"),
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
"""Bytes of a file's start that tell what it is."""


def named_kind(name: str) -> ArchiveKind | None:
    """Return the kind of archive that a name stands for; None if it is no archive that is read."""
    return SUFFIXES.get(_archive_suffix(name))


def is_archive_name(name: str) -> bool:
    """Tell whether a name has the suffix of an archive, read or not."""
    return _archive_suffix(name) != ""


def _archive_suffix(name: str) -> str:
    return max(
        (suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default=""
    )


def is_opened(name: str) -> bool:
    """Tell whether the first bytes of a file are looked at; its suffix may say enough."""
    return _suffixes(name).isdisjoint(OTHER_FILES)


def _suffixes(name: str) -> set[str]:
    """Return the last suffix in lower case, and the one before that of a compressed file."""
    stem, last = splitext(name.lower())
    return {last, splitext(stem)[1]} if last in COMPRESSED else {last}


def archive_kind(path: Path) -> ArchiveKind | None:
    """Return what a file is by its content; None if it is no archive that can be read.

    A compressed file whose inside cannot be told is what its name says.

    Raises:
        OSError: it cannot be read.
    """
    named = named_kind(path.name)
    with path.open("rb") as file:
        head = file.read(HEAD)
        for compression, magic in MAGIC.items():
            if head.startswith(magic):
                file.seek(0)
                content = Inflated(file, path.stat().st_size, compression)
                return _compressed_kind(content, named)
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
    """Tell whether a block starts a tar; zeros are a tar without members, if that is its name."""
    if len(head) < HEAD:
        return False
    if not head.strip(b"\0"):
        return named
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return head[257:262] == b"ustar"  # damaged: its reader says so
    return True


def fault_of_name(name: str) -> Fault | None:
    """Say why a file is an issue for what its name claims, or None."""
    inner, suffix = splitext(name.lower())
    if suffix in UNFINISHED and (is_image(inner) or is_archive_name(inner)):
        return "unfinished download", "fetch it again, or remove it"
    other = _suffixes(name).intersection(OTHER_IMAGES)
    if other:
        return "other image format", f"{min(other)} is not read; convert it to PNG or JPEG"
    if suffix in COMPRESSED and is_image(inner):
        return "compressed image", f"an image in {suffix} is not read; unpack it"
    return None


def fault_of_member(name: str, head: bytes) -> Fault | None:
    """Say why a member of an archive, which is no image by its name, is an issue, or None.

    Args:
        name: its name.
        head: its first HEAD bytes, or nothing if it is not opened.
    """
    packed = (*ZIP, *MAGIC.values(), *OTHER_ARCHIVES)
    if is_archive_name(name) or head.startswith(packed):
        return "nested archive", "an archive in an archive is not read; unpack it"
    return _fault_of_image(head)


def fault_of_file(path: Path) -> Fault | None:
    """Say why a file, which is no image by its name and no archive that is read, is an issue.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    fault = _fault_of_image(head)
    if fault is None and (head.startswith((*OTHER_ARCHIVES,)) or _is_unread_format(path.name)):
        return "unreadable archive", f"{describe(head)}; unpack it, or pack it as .tar or .zip"
    if fault is None and is_archive_name(path.name):
        return "not an archive", describe(head)
    return fault


def _is_unread_format(name: str) -> bool:
    return is_archive_name(name) and named_kind(name) is None


def _fault_of_image(head: bytes) -> Fault | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "no image suffix", "a PNG by its content; add .png to its name"
    if head.startswith(b"\xff\xd8\xff"):
        return "no image suffix", "a JPEG by its content; add .jpg to its name"
    if head[128:132] == b"DICM":
        return "other image format", "DICOM is not read; convert it to PNG or JPEG"
    return None


def describe(head: bytes) -> str:
    """Say in a few words what a file is, by its first HEAD bytes, that should be an archive."""
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
