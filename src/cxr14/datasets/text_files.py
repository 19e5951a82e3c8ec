"""Readers of a user's text files and zips, with bounds on size, time and memory.

Encodings: UTF-8 (with or without byte-order mark), UTF-16 and UTF-32 with one, UTF-16 without one
where every second byte is zero; else Windows-1252, the encoding of Excel's CSV files. Delimiters:
comma, semicolon, tab. Anything else is a UserError that describes the content.
"""

import codecs
import csv
import gzip
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cxr14.datasets.archives import ZIP_DAMAGE, open_zip, packing_fault, read_content
from cxr14.errors import UserError, quote

MAX_BYTES = 64 * 2**20
"""Maximum size of a table or list. The largest of NIH's has 8 MB."""

MAX_LINES = 500_000
"""NIH's table has 112,121."""

MAX_LINE = 100_000
"""Characters of a line."""

MAX_CELLS = 20_000_000

DELIMITERS = ",;\t"

MARKS = (  # the longer first: UTF-32's mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FORMATS = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Office file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PAR1": "a parquet file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}
ZIPPED = {  # parts of the content of zips of another format
    b"xl/": "an Excel workbook (.xlsx)",
    b"opendocument.spreadsheet": "an OpenDocument spreadsheet (.ods)",
    b"word/": "a Word document",
}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SAVE = "save it as CSV text (comma, semicolon or tab; UTF-8)"


@dataclass(frozen=True)
class Text:
    """The content of a text file.

    Attributes:
        lines: lines without their ends, which may be LF, CRLF or CR.
        assumed: the encoding if it is assumed and not known; else ''.
        ended: whether the last line ends in a line break.
    """

    lines: list[str]
    assumed: str
    ended: bool


@dataclass(frozen=True)
class Rows:
    """The rows of a table or list, from the first one that is not blank.

    Attributes:
        cells: stripped cells of each row, [] for a blank line.
        numbers: line number of each row in the file, from 1.
        delimiter: one of DELIMITERS.
    """

    cells: list[list[str]]
    numbers: list[int]
    delimiter: str


def read_lines(path: str | Path, name: str | None = None, limit: int | None = None) -> Text:
    """Read a text file, or a gzip file of one if its name ends in .gz.

    It has at most `limit` bytes; None: MAX_BYTES.

    Raises:
        UserError: the file is too large, or is not text; see :func:`decode`.
    """
    name = name or str(path)
    opened = gzip.open if Path(path).suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return decode(file.read((limit or MAX_BYTES) + 1), name, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name}: the gzip file is damaged ({error})") from None


def decode(content: bytes, name: str, limit: int | None = None) -> Text:
    """Turn the bytes of a text file into lines.

    Raises:
        UserError: the content is too large, is of another format, or is not text.
    """
    limit = limit or MAX_BYTES
    if len(content) > limit:
        raise UserError(f"{name}: more than {limit} bytes; a table or list has at most that")
    text, assumed = _decoded(content, name)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") > MAX_LINES:
        raise UserError(f"{name}: more than {MAX_LINES} lines; a table or list has at most that")
    lines = text.split("\n")
    ended = lines[-1] == ""
    if ended:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            raise UserError(
                f"{name}, row {number}: {len(line)} characters; a line has at most {MAX_LINE}"
            )
    if control := CONTROL.search(text):
        number = text.count("\n", 0, control.start()) + 1
        raise UserError(
            f"{name}, row {number}: holds the control character {quote(control[0])}, so it is "
            f"not a plain text file; {SAVE}"
        )
    return Text(lines, assumed, ended)


def _decoded(content: bytes, name: str) -> tuple[str, str]:
    """Return the text, and the encoding if it is only assumed."""
    known = next((encoding for mark, encoding in MARKS if content.startswith(mark)), None)
    if known is None:
        if file_format := _format(content):
            raise UserError(f"{name}: this is {file_format}, not a text file; {SAVE}")
        known = _utf16_without_mark(content)
    try:
        return content.decode(known or "utf-8"), ""
    except UnicodeDecodeError as error:
        if known:
            at = f"{error.reason} at byte {error.start}"
            raise UserError(f"{name}: not the {known} text it claims to be ({at})") from None
    try:
        return content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _format(content: bytes) -> str | None:
    if re.match(rb"\s*<(!doctype|html|\?xml)", content[:200], re.IGNORECASE):
        return "an HTML or XML page (perhaps an error or login page of the download)"
    zipped = content.startswith(b"PK\x03\x04")
    inside = (kind for mark, kind in ZIPPED.items() if zipped and mark in content)
    start = (kind for mark, kind in FORMATS.items() if content.startswith(mark))
    return next(inside, None) or next(start, None)


def _utf16_without_mark(content: bytes) -> str | None:
    """Return the UTF-16 of plain ASCII text: every second byte is zero, and no other byte."""
    if len(content) < 2 or len(content) % 2 or 0 not in content:
        return None
    zeros = content[0::2].count(0), content[1::2].count(0)
    half = len(content) // 2
    return {(0, half): "utf-16-le", (half, 0): "utf-16-be"}.get(zeros)


def split_rows(text: Text, name: str) -> Rows:
    """Split the lines of a table or list into cells, at the delimiter of its first row.

    Blank lines above the first row are left out, and so is Excel's line `sep=;`.

    Raises:
        UserError: the delimiter is not clear, a quoted cell has no end, or there are too many
            cells.
    """
    start = next((n for n, line in enumerate(text.lines) if line.strip(" \t,;")), None)
    if start is None:
        return Rows([], [], ",")
    announced = re.fullmatch(r'"?sep=([,;\t])"?', text.lines[start].strip(" "))
    if announced:
        start, delimiter = start + 1, announced[1]
    else:
        delimiter = _delimiter(text.lines[start], f"{name}, row {start + 1}")
    lines = text.lines[start:]
    if sum(line.count(delimiter) for line in lines) > MAX_CELLS:
        raise UserError(f"{name}: more than {MAX_CELLS} cells; a table has at most that")
    reader = csv.reader(
        (line.rstrip(" ") + "\n" for line in lines),
        delimiter=delimiter, skipinitialspace=True, strict=True,
    )  # fmt: skip
    cells: list[list[str]] = []
    numbers: list[int] = []
    number = start + 1
    try:
        for row in reader:
            cells.append(list(map(str.strip, row)))
            numbers.append(number)
            if start + reader.line_num > number:
                _check_long(row, len(cells[0]), delimiter, f"{name}, row {number}")
            number = start + reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{name}, row {number}: {error}; look for a quotation mark without its pair"
        ) from None
    return Rows(cells, numbers, delimiter)


def _delimiter(line: str, where: str) -> str:
    """Return the delimiter that a line holds outside of quotes and brackets; a comma for none."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\([^)]*\)', "", line)
    counts = sorted(((bare.count(mark), mark) for mark in DELIMITERS), reverse=True)
    (most, delimiter), (second, _) = counts[:2]
    if most and most == second:
        raise UserError(
            f"{where}: the delimiter is not clear, as it holds as many of one as of another: "
            f"{quote(line)}; allowed: comma, semicolon or tab"
        )
    return delimiter if most else ","


def _check_long(row: list[str], columns: int, delimiter: str, where: str) -> None:
    """Refuse a quoted cell over several lines that contains whole rows.

    Raises:
        UserError: one of its lines has as many delimiters as a row.
    """
    for cell in row:
        if "\n" in cell and max(line.count(delimiter) for line in cell.split("\n")) >= columns - 1:
            raise UserError(
                f"{where}: a quoted cell continues in the next rows: {quote(cell)}; look for a "
                f"quotation mark without its pair"
            )


# Regular files and zips of a user, read up to a limit. Pipes, devices and bombs are errors.

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_user_file(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """Read a user's file of at most `limit` bytes. A link to a regular file is followed.

    Raises:
        UserError: the file does not exist, is not a regular file, cannot be read, or is larger.
    """
    with _opened(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:  # the size of a file in /proc is 0
        size = max(size, len(content))
        raise UserError(f"{path} has {size} bytes or more; allowed: at most {limit}")
    return content


def read_start(path: str | Path, size: int) -> bytes:
    """Read the first bytes of a user's file; see :func:`read_user_file` for the errors."""
    with _opened(Path(path)) as file:
        return file.read(size)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; other kinds are refused before they are opened, which may block."""
    try:
        _check_regular(path)
        with path.open("rb") as file:
            yield file
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise UserError(f"{path} is a link to a file that does not exist") from None
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None


def _check_regular(path: Path) -> None:
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise UserError(f"{path} is {KINDS.get(kind, 'a special file')}; allowed: a regular file")


def open_user_zip(path: str | Path) -> zipfile.ZipFile:
    """Open a user's zip.

    Raises:
        UserError: it is not a regular file, cannot be read, or is no whole zip.
    """
    try:
        _check_regular(Path(path))
        return open_zip(Path(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int = MAX_BYTES) -> bytes:
    """Read a member of a user's zip, inflated to the size in its header and never further.

    Raises:
        UserError: its header says more than `limit` bytes, or it is damaged, encrypted, of another
            size, or packed by a method that cannot be inflated in bounded memory.
    """
    if entry.file_size > limit:
        raise UserError(
            f"{archive.filename}: {entry.filename} has {entry.file_size} bytes; allowed: at most "
            f"{limit}"
        )
    with _inflating(archive, entry):
        return read_content(archive, entry)


def read_member_start(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> bytes:
    """Read the first bytes of a member of a user's zip; see :func:`read_member` for the errors."""
    with _inflating(archive, entry), archive.open(entry) as file:
        return file.read(size)


@contextmanager
def _inflating(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[None]:
    """Raise a UserError for a member that is packed by another method, encrypted or damaged."""
    location = f"{archive.filename}: {entry.filename}"
    if fault := packing_fault(entry):
        raise UserError(f"{location}: {fault[1]}")
    try:
        yield
    except ZIP_DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{location} is damaged ({reason}); repair the zip") from None
