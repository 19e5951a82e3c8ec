"""One interface to images in archives and folders, and their sizes and orientation.

A *manifest* lists them: image (its name in the table), container (path of the archive, or of
the folder, relative to the images' base), member (path inside it), bytes and sha256. Nothing is
extracted to disk, and of the images only one at a time is in memory.
"""

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from cxr14.datasets.archive_kinds import (
    HEAD,
    ArchiveKind,
    Fault,
    Report,
    describe_head,
    fault_of_file,
    fault_of_name,
    image_name,
    is_archive_name,
    is_dicom,
    is_image,
    is_opened,
    named_kind,
    sniff_kind,
)
from cxr14.datasets.archives import read_zip, tar_images, zip_images
from cxr14.datasets.folder_images import (
    Entry,
    file_facts,
    files_below,
    loose_images,
    read_loose,
    unreadable,
)
from cxr14.datasets.raw import RENEW
from cxr14.errors import UserError

if TYPE_CHECKING:
    from pydicom import FileDataset

MANIFEST_COLUMNS = ("image", "container", "member", "bytes", "sha256")
NIH_ARCHIVE = re.compile(r"images_\d+\.(tar\.gz|tgz|tar|zip)", re.IGNORECASE)
"""An archive of the set: one of this name that holds no image is an error."""


def find_containers(base: Path, report: Report | None = None) -> list[str]:
    """Return the archives in a folder and in its folders and, as '', the images in folders.

    The order decides which of two equal images is listed: archives by name, then images in
    folders. An image is not opened here; every other file is, unless its suffix identifies it.
    The report gets the issues of folders and of files that are no images by their name.
    """
    report = report or Report()
    archives, loose = [], False
    for name, entry in files_below(base, report):
        if is_image(name):
            loose = True
        elif not entry.name.startswith(".") and _is_container(base / name, name, entry, report):
            archives.append(name)
    return [*sorted(archives), *([""] if loose else [])]


def _is_container(path: Path, name: str, entry: Entry, report: Report) -> bool:
    """Tell whether a file that is no image is an archive to read; report it if it is an issue."""
    fault = file_facts(entry)[1] or fault_of_name(name)
    kind = None
    if not fault and is_opened(name):
        kind, fault = _kind_or_fault(path, name)
    if fault:
        report.add(*((name, "") if is_archive_name(name) else ("", name)), fault)
    elif kind and named_kind(name) != kind:
        detail = f"a .{kind} by its content, and read as such"
        report.add(name, "", ("wrong suffix", detail), "kept")
    return kind is not None


def _kind_or_fault(path: Path, name: str) -> tuple[ArchiveKind | None, Fault | None]:
    try:
        kind = sniff_kind(path)
        fault = None if kind else fault_of_file(path)
    except OSError as error:
        kind, fault = None, unreadable(error)
    if kind and not name.isprintable():
        return None, ("unprintable name", "its name has characters that are no text; rename it")
    if kind is None and NIH_ARCHIVE.fullmatch(path.name):
        return named_kind(name), None  # its reader raises the error
    return kind, fault


def archive_kind(path: Path) -> ArchiveKind:
    """Return what an archive is by its content.

    Raises:
        UserError: it is no archive that can be read.
        OSError: it cannot be read.
    """
    kind = sniff_kind(path)
    if kind is None:
        with path.open("rb") as file:
            description = describe_head(file.read(HEAD))
        raise UserError(f"{path}: not a whole archive ({description}); fetch it again")
    return kind


def can_enter_anywhere(path: Path) -> bool:
    """Tell whether members in the middle of an archive can be read without those before them."""
    try:
        return path.is_file() and sniff_kind(path) in ("tar", "zip")
    except OSError:  # its reader raises the error
        return False


def iterate_container(
    base: Path, container: str, report: Report | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of every image in an archive, or in the folder if ''.

    Raises:
        UserError: the archive is broken, or a bomb.
    """
    report = report or Report()
    path = base / container
    if not container:
        members = [member for member, _ in loose_images(base, report)]
        yield from read_loose(base, members, report)
    elif (kind := archive_kind(path)) == "zip":
        yield from zip_images(path, container, report)
    else:
        yield from tar_images(path, kind, container, None, report)


def read_members(base: Path, container: str, members: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of the named members, in the order that is fast to read.

    A tar is read once from front to back, as far as the last of them.

    Raises:
        FileNotFoundError: the archive, or some of the members, are not there any more.
        UserError: the archive is broken, or a bomb.
    """
    wanted = set(members)
    for member, content in _read(base, container, members, wanted):
        if member in wanted:
            wanted.discard(member)
            yield member, content
        if not wanted:
            return
    if wanted:
        raise FileNotFoundError(
            f"{base / container}: {len(wanted)} of {len(members)} images in the manifest are gone, "
            f"first {min(wanted)}; restore them, or renew the manifest with {RENEW}"
        )


def _read(
    base: Path, container: str, members: list[str], wanted: set[str]
) -> Iterator[tuple[str, bytes]]:
    path = base / container
    if not container:
        yield from read_loose(base, members, Report())
    elif path.is_file() and (kind := archive_kind(path)) == "zip":
        yield from read_zip(path, members)
    elif path.is_file():
        yield from tar_images(path, kind, container, wanted, Report())


def describe(container: str, member: str, content: bytes) -> dict[str, object]:
    """Return one row of a manifest."""
    return {
        "image": image_name(member),
        "container": container,
        "member": member,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def image_location(container: str, member: str) -> str:
    """Return container and member of an image as one path."""
    return f"{container}/{member}" if container else member


def check_manifest(manifest: pd.DataFrame) -> None:
    """Refuse a manifest in which one image name stands for two contents.

    Raises:
        UserError: naming the image and both locations.
    """
    contents = manifest[["image", "sha256"]].drop_duplicates()
    ambiguous = sorted(set(contents.image[contents.image.duplicated()]))
    if not ambiguous:
        return
    rows = manifest[manifest.image == ambiguous[0]].drop_duplicates("sha256")
    first, second = [*map(image_location, rows.container, rows.member)][:2]
    if first == second:
        raise UserError(
            f"{rows.member.iloc[0]} is in {rows.container.iloc[0]} twice, with contents that "
            f"differ; unpack the archive, which keeps the last one, or pack it again"
        )
    raise UserError(
        f"{len(ambiguous)} image names stand for contents that differ, first {ambiguous[0]}: "
        f"{first} and {second}; remove or rename one of them"
    )


# EXIF orientation in PNG and JPEG.

FORMATS = ("PNG", "JPEG")
"""Image formats that Pillow reads, by content; DICOM is read as well."""

TURNED = (5, 6, 7, 8)
"""Orientations that exchange width and height."""

_TAG = 0x0112


def orientation(file: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = file.getexif().get(_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # Pillow's reader raises errors of many types; viewers ignore it as well
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def file_sizes(manifest: pd.DataFrame, base: Path, images: list[str]) -> pd.DataFrame:
    """Return width and height in pixels, as displayed, of those images that have a readable file.

    Each archive with one of them is read as far as the last.

    Returns:
        width and height, indexed by image.

    Raises:
        FileNotFoundError: a listed file is gone.
        UserError: an archive is broken.
    """
    wanted = manifest[manifest.image.isin(images)]
    sizes: dict[str, tuple[int, int]] = {}
    for container, rows in wanted.groupby("container"):
        names = dict(zip(rows.member, rows.image, strict=True))
        for member, content in read_members(base, str(container), list(names)):
            size = _size(content)
            if size:
                sizes[names[member]] = size
    return pd.DataFrame.from_dict(
        sizes, orient="index", columns=["width", "height"], dtype="float64"
    )


def _size(content: bytes) -> tuple[int, int] | None:
    """Return width and height by an image's header, as displayed; None if it has none."""
    if is_dicom(content):
        return _dicom_size(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata, and of many pixels
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    with image:
        width, height = image.size
        turned = orientation(image) in TURNED
    return (height, width) if turned else (width, height)


# DICOM. pydicom is imported only where there is such a file.

UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
RLE = "1.2.840.10008.1.2.5"
JPEG = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
TRANSFER_SYNTAXES = (*UNCOMPRESSED, RLE, *JPEG, *JPEG_2000)
"""Encodings of pixels that are read. Deflated files are not: they inflate without a limit."""

_META = 132
"""Offset of the file meta information in bytes: the preamble and DICM are before it."""


class TransferSyntaxError(ValueError):
    """Error of a DICOM file whose transfer syntax, its argument, is missing ('') or not read."""


def read_dicom(content: bytes, keywords: Collection[str]) -> "FileDataset":
    """Read the named elements of a DICOM file and no others, so that none of the patient is kept.

    Args:
        content: bytes of the file.
        keywords: DICOM's keywords of the elements, for example Rows.

    Raises:
        TransferSyntaxError: the transfer syntax is not one of TRANSFER_SYNTAXES.
        Exception: the file is damaged. The types vary, and messages may quote values of elements.
    """
    from pydicom import dcmread
    from pydicom.filereader import read_dataset

    logging.getLogger("pydicom").propagate = False  # its messages quote values of elements
    file = io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break a rule of DICOM
        file.seek(_META)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        syntax = str(meta.get("TransferSyntaxUID", ""))
        if syntax not in TRANSFER_SYNTAXES:
            raise TransferSyntaxError(syntax)
        file.seek(0)
        return dcmread(file, specific_tags=list(keywords))


def _dicom_size(content: bytes) -> tuple[int, int] | None:
    """Return columns and rows of a DICOM image, None if there are none."""
    try:
        header = read_dicom(content, ("Rows", "Columns"))
        width, height = int(header.Columns), int(header.Rows)
    except MemoryError:
        raise
    except Exception:  # pydicom's errors are of many types
        return None
    return (width, height) if width > 0 and height > 0 else None
