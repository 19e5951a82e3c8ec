"""Images in a .tar or .tar.gz, read as a stream from front to back.

Three things that the tarfile module lets pass are caught here: an archive that ends or goes bad
between two members (it would just seem shorter), a header that asks for gigabytes of memory, and
a stream that inflates without end.
"""

import gzip
import os
import tarfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip, isal_zlib

from cxr14.data.archives.refusals import (
    IMAGE_BYTES,
    BombError,
    Report,
    allowance,
    is_image,
    name_fault,
    size_fault,
)
from cxr14.errors import UserError

HEADER_BYTES = 16 * 2**10
"""The longest extended header; usual ones have some hundred bytes."""

DAMAGE: tuple[type[BaseException], ...] = (
    *(tarfile.TarError, EOFError, cast(Any, isal_zlib).error, gzip.BadGzipFile),
    *(ValueError, ArithmeticError, LookupError, RecursionError),  # tarfile, on a mangled header
)


class _Stream:
    """What tarfile reads from: goes forward only, in bounded steps, to a bounded length."""

    def __init__(self, file: IO[bytes], limit: int, beyond: Exception) -> None:
        self._file, self._limit, self._beyond, self._position = file, limit, beyond, 0
        self.last = b""
        self.most = HEADER_BYTES

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.most:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._file.read(size)
        self._position += len(self.last)
        self._check(self._position)
        return self.last

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a member that lies before its own header")
        self._check(position)
        if position > self._position:
            self._position = self._file.seek(position)
        return self._position

    def tell(self) -> int:
        return self._position

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise self._beyond


def tar_images(
    path: Path, container: str, wanted: Container[str] | None, report: Report
) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of the images in an archive.

    Args:
        path: the archive.
        container: its name in the report.
        wanted: members to yield; None for all, and then gzip's checksum is compared too.
        report: gets the refusals and the progress.

    Raises:
        UserError: the archive breaks off, is damaged or is a bomb.
    """
    members = told = 0
    try:
        with _opened(path) as (stream, file):
            archive: Any = tarfile.open(fileobj=cast(Any, stream), mode="r:")  # noqa: SIM115
            while (member := archive.next()) is not None:
                archive.members = []  # or it keeps every header
                fault = _fault(member)
                if fault:
                    report.refuse(container, member.name, fault)
                elif is_image(member.name) and (wanted is None or member.name in wanted):
                    yield member.name, _content(stream, member)
                members += 1
                report.advance(file.tell() - told)
                told = file.tell()
            _check_end(stream)
            while wanted is None and stream.read(HEADER_BYTES):
                pass
            report.advance(os.fstat(file.fileno()).st_size - told)
    except BombError as bomb:
        raise BombError(f"{path}: {bomb}; {members} members were read before") from None
    except DAMAGE as error:
        raise UserError(
            f"{path}: not a whole archive ({error or type(error).__name__}, after {members} "
            f"members); fetch it again"
        ) from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Stream, IO[bytes]]]:
    """Open the bytes of the tar; also yield the file itself, whose position tells progress."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if path.suffix == ".gz":
            limit = allowance(size)
            bomb = BombError(f"inflates to over {limit} bytes, which no archive of images does")
            with cast(Any, igzip).open(file) as inflated:
                yield _Stream(inflated, limit, bomb), file
        else:
            yield _Stream(file, size, tarfile.ReadError("it breaks off within a member")), file


def _content(stream: _Stream, member: tarfile.TarInfo) -> bytes:
    stream.most = IMAGE_BYTES
    stream.seek(member.offset_data)
    content = stream.read(member.size)
    stream.most = HEADER_BYTES
    if len(content) < member.size:
        raise tarfile.ReadError(f"it breaks off within {member.name}")
    return content


def _fault(member: tarfile.TarInfo) -> str | None:
    """Say why a member is refused, or None."""
    fault = name_fault(member.name)
    if fault or member.isdir():
        return fault
    if member.issym() or member.islnk():
        return "a link, which is never followed"
    if member.issparse():
        return "a sparse file"
    if not member.isfile():
        return f"a device or another special file (type {member.type!r})"
    return size_fault(member.size) if is_image(member.name) else None


def _check_end(stream: _Stream) -> None:
    """Refuse an end that is no block of zeros; tarfile takes a bad header, or nothing, for one."""
    if len(stream.last) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it breaks off between two members")
    if any(stream.last):
        raise tarfile.ReadError(f"a damaged header before byte {stream.tell()}")
