"""Files of a user, read within bounds: regular files only, and never more than a limit.

A folder of a user may hold anything: a pipe that waits for a writer, a device without an end, a
sparse file of terabytes, a link that leads to itself, a zip that claims a size and inflates to
another. Each of these is one sentence here, and none costs time or memory.
"""

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cxr14.data.archives.zipped import DAMAGE, open_zip, packing_fault, read_content
from cxr14.data.user_text import MAX_BYTES
from cxr14.errors import UserError

STEP = 2**20
"""Bytes read at a time, so that a wrong size costs no memory."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_own_file(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """Read a user's file whole. A link is followed if it ends at a regular file.

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        UserError: it does not exist, is not a regular file, cannot be read, or is larger.
    """
    with _opened(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(path, size, limit)
        return _read_at_most(file, limit, path)


def read_start(path: str | Path, size: int) -> bytes:
    """Read the first bytes of a user's file; see :func:`read_own_file` for what is refused."""
    with _opened(Path(path)) as file:
        return file.read(size)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; anything else is refused before it is opened, which may block."""
    try:
        _check_regular(path, path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_regular(path, os.fstat(descriptor))
            yield file
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise UserError(f"{path} is a link to a file that does not exist") from None
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None


def open_own_zip(path: str | Path) -> zipfile.ZipFile:
    """Open a user's zip.

    Raises:
        UserError: it is not a regular file, cannot be read, or is no whole zip.
    """
    try:
        _check_regular(path, Path(path).stat())
        return open_zip(Path(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int = MAX_BYTES) -> bytes:
    """Read a member of a user's zip, inflated to the size that it claims and never further.

    Raises:
        UserError: it claims more than `limit` bytes, is damaged, encrypted, of another size, or
            packed by a method that cannot be inflated in bounded memory.
    """
    place = f"{archive.filename}: {entry.filename}"
    if entry.file_size > limit:
        raise UserError(f"{place} has {entry.file_size} bytes; allowed: at most {limit}")
    _check_packing(place, entry)
    try:
        return read_content(archive, entry)
    except DAMAGE as error:
        raise UserError(f"{place} is damaged ({_reason(error)}); repair the zip") from None


def read_member_start(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> bytes:
    """Read the first bytes of a member of a user's zip.

    Raises:
        UserError: it is damaged or encrypted, or packed by another method; see read_member.
    """
    place = f"{archive.filename}: {entry.filename}"
    _check_packing(place, entry)
    try:
        with archive.open(entry) as file:
            return file.read(size)
    except DAMAGE as error:
        raise UserError(f"{place} is damaged ({_reason(error)})") from None


def _check_packing(place: str, entry: zipfile.ZipInfo) -> None:
    if fault := packing_fault(entry):
        raise UserError(f"{place}: {fault[1]}")


def _check_regular(path: str | Path, facts: os.stat_result) -> None:
    kind = stat.S_IFMT(facts.st_mode)
    if kind != stat.S_IFREG:
        raise UserError(f"{path} is {KINDS.get(kind, 'a special file')}; allowed: a regular file")


def _read_at_most(file: IO[bytes], limit: int, path: str | Path) -> bytes:
    """Read to the end, but refuse a file that goes on beyond the limit, whatever its size says."""
    parts: list[bytes] = []
    size = 0
    while part := file.read(STEP):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(path, size, limit)
    return b"".join(parts)


def _too_large(path: str | Path, size: int, limit: int) -> UserError:
    return UserError(f"{path} has {size} bytes or more; allowed: at most {limit}")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
