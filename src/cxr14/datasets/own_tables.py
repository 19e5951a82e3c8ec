"""Tables and lists in a user's folder, as files or in a zip like Kaggle's.

Copies of NIH's files go by many names: another case, `… (1).csv` of a browser, `… - Copy.csv`,
`train_val_list_NIH.txt` and `BBox_List_2017_Official_NIH.csv` of Kaggle's smaller sets. All of
these are read. A file that looks like a table and is not read is reported.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from cxr14.datasets.archive_kinds import Report, is_image, is_opened, sniff_kind
from cxr14.datasets.folder_images import file_facts, files_below, is_folder
from cxr14.datasets.raw import NAMES, holds_table, is_sheet, may_be_table, recognize
from cxr14.datasets.text_files import (
    open_user_zip,
    read_member,
    read_member_start,
    read_start,
    read_user_file,
)
from cxr14.errors import UserError, quote

SNIFFED_BYTES = 4096
SNIFFED_FILES = 500
"""Files that are looked into; a folder with a text file per image has thousands."""


@dataclass(frozen=True)
class UserTable:
    """A table or list of a user.

    Attributes:
        file: its path in the folder; of a member of a zip the zip's and the member's, joined by /.
        content: its bytes.
        archive: the zip that it is in, or ''.
    """

    file: str
    content: bytes
    archive: str = ""

    @property
    def sha256(self) -> str:
        """The hash of the content."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True)
class FolderTables:
    """Tables and lists of a folder.

    Attributes:
        tables: by the standard names (IMAGE_TABLE, BOX_TABLE, LISTS) that it has.
        unread: path and reason of each file that looks like a table and was not read.
    """

    tables: dict[str, UserTable]
    unread: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class _Candidate:
    """A file that may be a table: the best name first, of equal ones those less deep."""

    rank: int
    packed: bool
    depth: int
    file: str
    archive: str = ""
    entry: ZipInfo | None = field(default=None, compare=False)
    """Its own entry in the zip: two may have one name."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.file).name

    @property
    def quality(self) -> tuple[int, bool, int]:
        return self.rank, self.packed, self.depth


def find_tables(folder: Path) -> FolderTables:
    """Read the tables and lists of a folder, of the folders below it, and of its zips.

    The best name wins, then a loose file before one in a zip, then the one that is less deep.

    Raises:
        UserError: a table cannot be read, two that are equally good have different contents, or a
            folder has a table's name and no table in it.
    """
    files, zips = _files_and_zips(folder)
    candidates: dict[str | None, list[_Candidate]] = {table: [] for table in (*NAMES, None)}
    tables: dict[str, UserTable] = {}
    with ExitStack() as stack:
        reader = _Reader(folder, stack)
        for candidate in [*_loose(files), *reader.packed(zips)]:
            table, rank = recognize(candidate.name)
            candidates[table].append(replace(candidate, rank=rank))
        _check_folders(folder, {table for table in NAMES if candidates[table]})
        unread = reader.unopened
        for table in NAMES:
            if candidates[table]:
                tables[table], left = _choose(reader, table, sorted(candidates[table]))
                unread += left
        unread += _unread(reader, candidates[None])
    return FolderTables(tables, sorted(unread))


def _files_and_zips(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of all files, and of those that are zips by name or content."""
    files, zips = [], []
    for name, entry in files_below(folder, Report()):
        files.append(name)
        if not entry.name.startswith(".") and not is_image(name) and _is_zip(folder / name, entry):
            zips.append(name)
    return files, zips


def _is_zip(path: Path, entry: "os.DirEntry[str]") -> bool:
    if entry.name.lower().endswith(".zip"):  # also one that is damaged: it is reported
        return True
    if file_facts(entry)[1] or not is_opened(entry.name):
        return False
    try:
        return sniff_kind(path) == "zip"
    except OSError:
        return False


def _loose(files: Sequence[str]) -> Iterator[_Candidate]:
    for name in files:
        if may_be_table(name):
            yield _Candidate(0, False, name.count("/"), name)


class _Reader:
    """Reads files of a folder and members of its zips; only the last zip is kept open."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.unopened: list[tuple[str, str]] = []
        self._stack, self._name = stack, ""
        self._archive: ZipFile | None = None

    def packed(self, zips: Sequence[str]) -> Iterator[_Candidate]:
        """Yield the texts in the zips; a zip that cannot be opened is noted."""
        for name in zips:
            try:
                entries = self._opened(name).infolist()
            except UserError as error:  # it may have nothing to do with the set
                self.unopened.append((name, str(error)))
                continue
            for entry in entries:
                member = entry.filename
                if may_be_table(member) and not entry.is_dir():
                    depth = name.count("/") + 1 + member.count("/")
                    yield _Candidate(0, True, depth, f"{name}/{member}", name, entry)

    def _opened(self, name: str) -> ZipFile:
        if self._archive is None or self._name != name:
            self._stack.close()
            self._archive = None
            self._archive = self._stack.enter_context(open_user_zip(self.folder / name))
            self._name = name
        return self._archive

    def content(self, candidate: _Candidate) -> bytes:
        """Read a file whole."""
        if candidate.entry is None:
            return read_user_file(self.folder / candidate.file)
        return read_member(self._opened(candidate.archive), candidate.entry)

    def start(self, candidate: _Candidate) -> bytes:
        """Read the first bytes of a file."""
        if candidate.entry is None:
            return read_start(self.folder / candidate.file, SNIFFED_BYTES)
        return read_member_start(self._opened(candidate.archive), candidate.entry, SNIFFED_BYTES)


def _choose(
    reader: _Reader, table: str, candidates: Sequence[_Candidate]
) -> tuple[UserTable, list[tuple[str, str]]]:
    """Read the best of the candidates; name those of other content that are not read.

    Raises:
        UserError: the best cannot be read, or another one is as good and has another content.
    """
    best = candidates[0]
    if not best.file.isprintable():
        raise UserError(
            f"{reader.folder}: {quote(best.file)} is read as {table}, but its name has characters "
            f"that are no text; rename it"
        )
    chosen = UserTable(best.file, reader.content(best), best.archive)
    unread = []
    for other in candidates[1:]:
        if other.quality == best.quality:
            if reader.content(other) != chosen.content:
                raise UserError(
                    f"{reader.folder}: {quote(best.file)} and {quote(other.file)} could both be "
                    f"{table} and have different contents; remove or rename one of them"
                )
        elif not _is_same(reader, other, chosen):
            unread.append((other.file, f"{quote(best.file)} is read in its place"))
    return chosen, unread


def _is_same(reader: _Reader, other: _Candidate, chosen: UserTable) -> bool:
    try:
        return reader.content(other) == chosen.content
    except UserError:  # damaged, but not needed
        return False


def _check_folders(folder: Path, tables: set[str]) -> None:
    """Refuse a folder that has the name of a table that was not tables, as unpacking may make."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_folder(entry)]
    for name in sorted(filter(may_be_table, names)):
        table, _ = recognize(name)
        if table and table not in tables:
            raise UserError(f"{folder / name} is a folder; allowed: a regular file with the table")


def _unread(reader: _Reader, others: Sequence[_Candidate]) -> Iterator[tuple[str, str]]:
    """Name those of the files that no table's name fits and that look like a table or list."""
    known = ", ".join(NAMES)
    texts = [other for other in sorted(others) if not is_sheet(other.file)]
    for other in others:
        if is_sheet(other.file):
            yield other.file, "not a text file; save it as CSV under the name of NIH's table"
    for other in texts[:SNIFFED_FILES]:
        try:
            start = reader.start(other)
        except UserError as error:
            yield other.file, str(error)
            continue
        if holds_table(start):
            yield other.file, f"it looks like a table or list; names that are read: {known}"
    if left := texts[SNIFFED_FILES:]:
        yield left[0].file, f"{len(left)} text files, from this one on, were not looked at"
