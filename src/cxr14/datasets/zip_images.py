"""Images in a zip, member by member, by its table of contents."""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from cxr14.datasets.archive_kinds import (
    HEAD,
    BombError,
    Fault,
    Report,
    allowance,
    fault_of_member,
    fault_of_name,
    is_image,
    is_opened,
    name_fault,
    size_fault,
)
from cxr14.errors import UserError

ENCRYPTED = 1
DAMAGE = (
    *(zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError),
    *(ValueError, ArithmeticError, LookupError, OSError),  # zipfile, on a mangled header
)
END, END_BYTES = b"PK\x05\x06", 22
"""Signature and size of the end record, which a comment of at most 64 KiB follows."""


def zip_images(path: Path, container: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of every image in an archive; a damaged one is an issue.

    Args:
        path: the archive.
        container: name of the archive in the report.
        report: gets the issues and the progress.

    Raises:
        UserError: the archive has no whole table of contents, or is a bomb.
    """
    left = limit = allowance(path.stat().st_size)
    with open_zip(path) as archive:
        for detail in _unread_data(path, archive):
            report.add(container, "", ("unread data", detail))
        for member in archive.infolist():
            report.add_member(member.filename)
            image = is_image(member.filename)
            fault = _image_fault(member) if image else _other_fault(archive, member)
            if image and not fault:
                left -= member.file_size
                if left < 0:
                    raise BombError(
                        f"{path}: inflates to over {limit} bytes, which no archive of images does; "
                        f"the limit was met at {member.filename}"
                    )
                try:
                    content = read_content(archive, member)
                except DAMAGE as error:
                    fault = "damaged", str(error) or type(error).__name__
                else:
                    yield member.filename, content
            if fault:
                report.add(container, member.filename, fault)
            report.advance(member.compress_size)


def read_zip(path: Path, members: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of those of the members that the archive has.

    Of several members with one name the first that is sound is read, as when they were listed.

    Raises:
        UserError: the archive, or a member, is damaged.
    """
    facts = path.stat()
    archive, by_name = _kept_open(path, facts.st_mtime_ns, facts.st_size)
    for name in members:
        fault = ""
        for member in by_name.get(name, ()):
            content, fault = _content_or_fault(archive, member)
            if content is not None:
                yield name, content
                break
        else:
            if fault:
                raise UserError(f"{path}/{name}: {fault}; fetch the archive again")


def _content_or_fault(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[bytes | None, str]:
    if fault := _image_fault(member):
        return None, fault[1]
    try:
        return read_content(archive, member), ""
    except DAMAGE as error:
        return None, f"damaged ({error})"


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip.

    Raises:
        UserError: it has no whole table of contents.
        OSError: it cannot be opened at all.
    """
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # it cannot be opened at all
        raise UserError(f"{path}: not a whole archive ({error}); fetch it again") from None


def _unread_data(path: Path, archive: zipfile.ZipFile) -> Iterator[str]:
    """Describe data before the first member (another zip?) and after the end of the zip."""
    start = min((member.header_offset for member in archive.infolist()), default=0)
    if start > 0:
        yield f"{start} bytes before the first member belong to none"
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 2**16 - END_BYTES))
        tail = file.read()
    after = len(tail) - tail.rfind(END) - END_BYTES - len(archive.comment)
    if after > 0:
        yield f"{after} bytes after the end of the zip"


@lru_cache(maxsize=1)
def _kept_open(
    path: Path, modified_ns: int, size: int
) -> tuple[zipfile.ZipFile, dict[str, list[zipfile.ZipInfo]]]:
    """Keep the last archive open: reading the contents of Kaggle's one zip takes over a second."""
    archive = open_zip(path)
    by_name: dict[str, list[zipfile.ZipInfo]] = {}
    for member in archive.infolist():
        by_name.setdefault(member.filename, []).append(member)
    return archive, by_name


def read_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Inflate a member as far as the size in its header: ZipFile.read would go on to its end.

    Raises:
        One of DAMAGE. See :func:`packing_fault` for what is to be refused before.
    """
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{len(content)} of {member.file_size} bytes")
    return content


def _image_fault(member: zipfile.ZipInfo) -> Fault | None:
    """Return why an image cannot be used, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "link", "a link, which is never followed"
    if kind not in (0, stat.S_IFREG):
        return "special file", "a device or another special file"
    return name_fault(member.filename) or packing_fault(member) or size_fault(member.file_size)


def packing_fault(member: zipfile.ZipInfo) -> Fault | None:
    """Return why a member cannot be inflated in bounded memory, or None."""
    if member.flag_bits & ENCRYPTED:
        return "encrypted", "encrypted; unpack it with its password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        names: dict[int, str] = zipfile.compressor_names  # type: ignore[attr-defined]
        method = names.get(member.compress_type, f"method {member.compress_type}")
        # Others cannot be inflated step by step.
        return "unsupported compression", f"packed by {method}; only stored and deflate are read"
    return None


def _other_fault(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Fault | None:
    """Return the fault of a member that is no image by its name, or None."""
    if member.is_dir() or name_fault(member.filename):
        return None
    fault = fault_of_name(member.filename)
    if fault or not is_opened(member.filename):
        return fault
    if packing_fault(member):
        return fault_of_member(member.filename, b"")
    try:
        with archive.open(member) as file:
            return fault_of_member(member.filename, file.read(HEAD))
    except DAMAGE as error:  # its name may be damaged, so that it was an image
        return "damaged", str(error) or type(error).__name__
