"""Readers of the images in tars, plain or compressed, and in zips.

A tar is read as a stream from front to back. tarfile alone would accept an archive that ends or is
damaged between two members, ignore data after the end, read headers of gigabytes into memory, and
inflate without a limit. A zip is read member by member, by its table of contents.
"""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

from cxr14.datasets.archive_kinds import (
    HEAD,
    IMAGE_BYTES,
    TABLE_NOT_READ,
    ArchiveKind,
    BombError,
    Fault,
    Report,
    allowance,
    fault_of_member,
    fault_of_name,
    is_image,
    is_opened,
    is_tar_header,
    name_fault,
    size_fault,
)
from cxr14.datasets.raw import holds_table, is_sheet, may_be_table, recognize
from cxr14.datasets.streams import Inflated, StreamError
from cxr14.errors import UserError

HEADER_BYTES = 16 * 2**10
"""Maximum size of an extended header; usual ones have some hundred bytes."""

TAR_DAMAGE: tuple[type[BaseException], ...] = (
    *(tarfile.TarError, StreamError, EOFError),
    *(ValueError, ArithmeticError, LookupError, RecursionError),  # tarfile, on a mangled header
)

ENCRYPTED = 1
ZIP_DAMAGE = (
    *(zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError),
    *(ValueError, ArithmeticError, LookupError, OSError),  # zipfile, on a mangled header
)
END, END_BYTES = b"PK\x05\x06", 22
"""Signature and size of the end record, which a comment of at most 64 KiB follows."""


class _Stream:
    """Input of tarfile: goes forward only, in bounded steps, to a bounded length."""

    def __init__(self, file: IO[bytes] | Inflated, limit: int, beyond: Exception) -> None:
        self._file, self._limit, self._beyond, self._position = file, limit, beyond, 0
        self._held = b""
        self.last = b""
        self.most = HEADER_BYTES

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.most:
            raise tarfile.ReadError(f"a header of {size} bytes")
        held, self._held = self._held[:size], self._held[size:]
        self.last = held + self._file.read(size - len(held))
        self._position += len(self.last)
        self._check(self._position)
        return self.last

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a member before its own header")
        self._check(position)
        if position > self._position:
            self._held = self._held[position - self._position :]
            self._position = position if self._held else self._file.seek(position)
        return self._position

    def tell(self) -> int:
        return self._position

    def read_member(self, member: tarfile.TarInfo, most: int) -> bytes:
        """Read the first `most` bytes of a member.

        Raises:
            tarfile.ReadError: the archive ends before.
        """
        self.seek(member.offset_data)
        self.most = max(most, HEADER_BYTES)
        content = self.read(min(member.size, most))
        self.most = HEADER_BYTES
        if len(content) < min(member.size, most):
            raise tarfile.ReadError(f"it breaks off within {member.name}")
        return content

    def skip_zeros(self) -> bytes:
        """Go on to the first block that is not of zeros and return it, empty at the end."""
        while block := self.read(HEADER_BYTES):
            if block.strip(b"\0"):
                zeros = len(block) - len(block.lstrip(b"\0"))
                self._held = block[zeros - zeros % tarfile.BLOCKSIZE :]
                self._position -= len(self._held)
                return self._held[: tarfile.BLOCKSIZE]
        return b""

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise self._beyond


def tar_images(
    path: Path, kind: ArchiveKind, container: str, wanted: Container[str] | None, report: Report
) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of the images in an archive.

    Archives one after the other in the file are all read.

    Args:
        path: the archive.
        kind: kind of the archive.
        container: name of the archive in the report.
        wanted: members to yield; None for all, and then all is read, to compare the checksums.
        report: gets the issues and the progress.

    Raises:
        UserError: the archive breaks off, is damaged or is a bomb.
    """
    members = position = 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            stream, inflated = _open_stream(file, size, kind)
            for member in _members(stream, container, report):
                content = _examine(stream, member, container, wanted, report)
                if content is not None:
                    yield member.name, content
                members += 1
                report.advance(file.tell() - position)
                position = file.tell()
            while wanted is None and stream.read(HEADER_BYTES):
                pass
            if inflated and inflated.trailing:
                detail = f"{inflated.trailing} bytes after the end of the compressed data"
                report.add(container, "", ("unread data", detail))
            report.advance(size - position)
    except BombError as bomb:
        raise BombError(f"{path}: {bomb}; {members} members were read before") from None
    except TAR_DAMAGE as error:
        raise UserError(
            f"{path}: not a whole archive ({error or type(error).__name__}, after {members} "
            f"members); fetch it again"
        ) from None


def _open_stream(file: IO[bytes], size: int, kind: ArchiveKind) -> tuple[_Stream, Inflated | None]:
    """Return the bytes of the tar and, if it is compressed, their decoder."""
    if kind == "tar":
        end = tarfile.ReadError("it breaks off within a member")
        return _Stream(file, size, end), None
    limit = allowance(size)
    bomb = BombError(f"inflates to over {limit} bytes, which no archive of images does")
    inflated = Inflated(file, size, kind.removeprefix("tar."))
    return _Stream(inflated, limit, bomb), inflated


def _members(stream: _Stream, container: str, report: Report) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of all archives in the stream; other data between them is an issue."""
    while True:
        archive: Any = tarfile.open(fileobj=cast(Any, stream), mode="r:")  # noqa: SIM115
        while (member := archive.next()) is not None:
            archive.members = []  # or it keeps every header
            yield member
        _check_end(stream)
        block, start = stream.skip_zeros(), stream.tell()
        if not block:
            return
        if not is_tar_header(block):
            detail = f"from byte {start} of the tar on, after its end, and no archive"
            report.add(container, "", ("unread data", detail))
            return
        detail = f"another archive starts at byte {start}; both are read"
        report.add(container, "", ("joined archives", detail), "kept")


def _check_end(stream: _Stream) -> None:
    """Refuse an end that is no block of zeros; tarfile accepts a bad header, or nothing, as one."""
    if len(stream.last) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it breaks off between two members")
    if any(stream.last):
        raise tarfile.ReadError(f"a damaged header before byte {stream.tell()}")


def _examine(
    stream: _Stream,
    member: tarfile.TarInfo,
    container: str,
    wanted: Container[str] | None,
    report: Report,
) -> bytes | None:
    """Return the content of an image that is wanted; report a member that is an issue."""
    report.add_member(member.name)
    if not is_image(member.name):
        fault = _tar_other_fault(stream, member) if wanted is None else None
    else:
        fault = _tar_image_fault(member)
        if not fault and not member.isdir() and (wanted is None or member.name in wanted):
            return stream.read_member(member, IMAGE_BYTES)
    if fault:
        report.add(container, member.name, fault)
    return None


def _tar_image_fault(member: tarfile.TarInfo) -> Fault | None:
    """Return why an image cannot be used, or None."""
    if member.isdir():
        return None
    if member.issym() or member.islnk():
        return "link", "a link, which is never followed"
    if member.issparse() or not member.isfile():
        return "special file", "a sparse file, a device or another special file"
    return name_fault(member.name) or size_fault(member.size)


def _tar_other_fault(stream: _Stream, member: tarfile.TarInfo) -> Fault | None:
    """Return the fault of a member that is no image by its name, or None."""
    if not member.isfile() or name_fault(member.name):
        return None
    fault, text = fault_of_name(member.name), may_be_table(member.name)
    if fault or not (text or is_opened(member.name)):
        return fault
    head = stream.read_member(member, HEAD)
    if text and (is_sheet(member.name) or recognize(member.name)[0] or holds_table(head)):
        return TABLE_NOT_READ, "a table in a tar is not read; unpack it beside the tar"
    return fault_of_member(member.name, head) if is_opened(member.name) else None


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
            fault = _zip_image_fault(member) if image else _zip_other_fault(archive, member)
            if image and not fault:
                left -= member.file_size
                if left < 0:
                    raise BombError(
                        f"{path}: inflates to over {limit} bytes, which no archive of images does; "
                        f"the limit was met at {member.filename}"
                    )
                try:
                    content = read_content(archive, member)
                except ZIP_DAMAGE as error:
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
    if fault := _zip_image_fault(member):
        return None, fault[1]
    try:
        return read_content(archive, member), ""
    except ZIP_DAMAGE as error:
        return None, f"damaged ({error})"


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip.

    Raises:
        UserError: it has no whole table of contents.
        OSError: it cannot be opened at all.
    """
    try:
        return zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
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
        One of ZIP_DAMAGE. See :func:`packing_fault` for what is to be refused before.
    """
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{len(content)} of {member.file_size} bytes")
    return content


def _zip_image_fault(member: zipfile.ZipInfo) -> Fault | None:
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


def _zip_other_fault(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Fault | None:
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
    except ZIP_DAMAGE as error:  # its name may be damaged, so that it was an image
        return "damaged", str(error) or type(error).__name__
