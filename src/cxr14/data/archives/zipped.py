"""Images in a .zip, member by member, by its table of contents."""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from cxr14.data.archives.refusals import (
    BombError,
    Report,
    allowance,
    is_image,
    name_fault,
    size_fault,
)
from cxr14.errors import UserError

ENCRYPTED = 1
DAMAGE = (
    *(zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError),
    *(ValueError, ArithmeticError, LookupError, OSError),  # zipfile, on a mangled header
)


def zip_images(path: Path, container: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of every image in an archive; a damaged one is refused by name.

    Args:
        path: the archive.
        container: its name in the report.
        report: gets the refusals and the progress.

    Raises:
        UserError: the archive has no whole table of contents, or is a bomb.
    """
    left = allowance(path.stat().st_size)
    with _opened(path) as archive:
        for member in archive.infolist():
            fault = _fault(member)
            if fault:
                report.refuse(container, member.filename, fault)
            elif is_image(member.filename) and not member.is_dir():
                left -= member.file_size
                if left < 0:
                    raise BombError(
                        f"{path}: inflates to over {allowance(path.stat().st_size)} bytes, "
                        f"which no archive of images does; the limit was met at {member.filename}"
                    )
                try:
                    content = _content(archive, member)
                except DAMAGE as error:
                    report.refuse(container, member.filename, f"damaged ({error})")
                else:
                    yield member.filename, content
            report.advance(member.compress_size)


def read_zip(path: Path, members: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of those of the members that the archive has.

    Raises:
        UserError: the archive, or a member, is damaged.
    """
    facts = path.stat()
    archive = _kept_open(path, facts.st_mtime_ns, facts.st_size)
    for name in members:
        member = archive.NameToInfo.get(name)
        if member is None:
            continue
        try:
            fault = _fault(member)
            content = b"" if fault else _content(archive, member)
        except DAMAGE as error:
            fault = f"damaged ({error})"
        if fault:
            raise UserError(f"{path}/{name}: {fault}; fetch the archive again")
        yield name, content


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UserError(f"{path}: not a whole archive ({error}); fetch it again") from None


@lru_cache(maxsize=1)
def _kept_open(path: Path, modified_ns: int, size: int) -> zipfile.ZipFile:
    """Keep the last archive open: reading the contents of Kaggle's one zip takes over a second."""
    return _opened(path)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Inflate a member as far as the size that it claims: ZipFile.read would go on to its end."""
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{len(content)} of {member.file_size} bytes")
    return content


def _fault(member: zipfile.ZipInfo) -> str | None:
    """Say why a member is refused, or None."""
    fault = name_fault(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if fault or member.is_dir():
        return fault
    if kind == stat.S_IFLNK:
        return "a link, which is never followed"
    if kind not in (0, stat.S_IFREG):
        return "a device or another special file"
    if not is_image(member.filename):
        return None
    if member.flag_bits & ENCRYPTED:
        return "encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "neither stored nor deflated"  # others cannot be inflated step by step
    return size_fault(member.file_size)
