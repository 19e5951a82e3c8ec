"""Tables and lists in a user's folder, as files or in a zip like Kaggle's.

Copies of NIH's files go by many names: another case, `… (1).csv` of a browser, `… - Copy.csv`,
`train_val_list_NIH.txt` and `BBox_List_2017_Official_NIH.csv` of Kaggle's smaller sets. All of
these are read. A file that looks like a table and is not read is reported.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from zipfile import ZipInfo

from cxr14.datasets.archive_kinds import Report, is_image, is_opened, sniff_kind
from cxr14.datasets.folder_images import Entry, file_facts, files_below, is_folder
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
"""Maximum number of files whose start is read; a folder with a text per image has thousands."""

Unread = list[tuple[str, str]]
"""Path and reason of each file that looks like a table and was not read."""


@dataclass(frozen=True)
class UserTable:
    """A table or list of a user.

    Attributes:
        file: path in the folder; for a member of a zip the zip's and the member's, joined by /.
        content: bytes of the file.
        archive: the zip that holds it, or ''.
    """

    file: str
    content: bytes
    archive: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True)
class FolderTables:
    """Tables and lists of a folder, by their standard names, and files that were not read."""

    tables: dict[str, UserTable]
    unread: Unread = field(default_factory=list)


@dataclass(frozen=True, order=True)
class _Candidate:
    """A file that may be a table; those with the best name, loose and least deep sort first."""

    rank: int
    packed: bool
    depth: int
    file: str
    archive: str = ""
    entry: ZipInfo | None = field(default=None, compare=False)  # a zip may hold a name twice

    @property
    def quality(self) -> tuple[int, bool, int]:
        return self.rank, self.packed, self.depth


_opened = lru_cache(maxsize=1)(open_user_zip)
"""The last zip stays open: reading the contents of Kaggle's takes over a second."""


def find_tables(folder: Path) -> FolderTables:
    """Read the tables and lists of a folder, of the folders below it, and of its zips.

    The best name wins, then a loose file over one in a zip, then the one that is less deep.

    Raises:
        UserError: a table cannot be read, two that are equally good have different contents, or a
            folder has a table's name and no table in it.
    """
    files, zips = _files_and_zips(folder)
    unread: Unread = []
    candidates: dict[str | None, list[_Candidate]] = {table: [] for table in (*NAMES, None)}
    try:
        for candidate in [*_loose(files), *_packed(folder, zips, unread)]:
            candidates[recognize(candidate.file)[0]].append(candidate)
        present = [table for table in NAMES if candidates[table]]
        _check_folders(folder, present)
        tables = {t: _choose(folder, t, sorted(candidates[t]), unread) for t in present}
        unread += _unread(folder, candidates[None])
    finally:
        _opened.cache_clear()
    return FolderTables(tables, sorted(unread))


def _files_and_zips(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of all files, and of those that are zips by name or content."""
    files, zips = [], []
    for name, entry in files_below(folder, Report()):
        files.append(name)
        if not entry.name.startswith(".") and not is_image(name) and _is_zip(folder / name, entry):
            zips.append(name)
    return files, zips


def _is_zip(path: Path, entry: Entry) -> bool:
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
            yield _Candidate(recognize(name)[1], False, name.count("/"), name)


def _packed(folder: Path, zips: Sequence[str], unread: Unread) -> Iterator[_Candidate]:
    """Yield the texts in the zips; a zip that cannot be opened is added to `unread`."""
    for name in zips:
        try:
            entries = _opened(folder / name).infolist()
        except UserError as error:  # it may have nothing to do with the set
            unread.append((name, str(error)))
            continue
        for entry in entries:
            if may_be_table(entry.filename) and not entry.is_dir():
                file, rank = f"{name}/{entry.filename}", recognize(entry.filename)[1]
                yield _Candidate(rank, True, file.count("/"), file, name, entry)


def _content(folder: Path, candidate: _Candidate) -> bytes:
    if candidate.entry is None:
        return read_user_file(folder / candidate.file)
    return read_member(_opened(folder / candidate.archive), candidate.entry)


def _start(folder: Path, candidate: _Candidate) -> bytes:
    if candidate.entry is None:
        return read_start(folder / candidate.file, SNIFFED_BYTES)
    return read_member_start(_opened(folder / candidate.archive), candidate.entry, SNIFFED_BYTES)


def _choose(
    folder: Path, table: str, candidates: Sequence[_Candidate], unread: Unread
) -> UserTable:
    """Read the best of the candidates; add those of other content to `unread`.

    Raises:
        UserError: the best cannot be read, or another one is as good and has another content.
    """
    best = candidates[0]
    if not best.file.isprintable():
        raise UserError(
            f"{folder}: {quote(best.file)} is read as {table}, but its name has characters "
            f"that are no text; rename it"
        )
    chosen = UserTable(best.file, _content(folder, best), best.archive)
    for other in candidates[1:]:
        if other.quality == best.quality:
            if _content(folder, other) != chosen.content:
                raise UserError(
                    f"{folder}: {quote(best.file)} and {quote(other.file)} could both be "
                    f"{table} and have different contents; remove or rename one of them"
                )
        elif not _is_same(folder, other, chosen):
            unread.append((other.file, f"{quote(best.file)} is read in its place"))
    return chosen


def _is_same(folder: Path, other: _Candidate, chosen: UserTable) -> bool:
    try:
        return _content(folder, other) == chosen.content
    except UserError:  # damaged, but not needed
        return False


def _check_folders(folder: Path, present: Sequence[str]) -> None:
    """Refuse a folder with the name of a missing table, as unpacking may create."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_folder(entry)]
    for name in sorted(filter(may_be_table, names)):
        table, _ = recognize(name)
        if table and table not in present:
            raise UserError(f"{folder / name} is a folder; allowed: a regular file with the table")


def _unread(folder: Path, others: Sequence[_Candidate]) -> Iterator[tuple[str, str]]:
    """Yield those of the files without a table's name that look like a table or list."""
    known = ", ".join(NAMES)
    texts = [other for other in sorted(others) if not is_sheet(other.file)]
    for other in others:
        if is_sheet(other.file):
            yield other.file, "not a text file; save it as CSV under the name of NIH's table"
    for other in texts[:SNIFFED_FILES]:
        try:
            start = _start(folder, other)
        except UserError as error:
            yield other.file, str(error)
            continue
        if holds_table(start):
            yield other.file, f"it looks like a table or list; names that are read: {known}"
    if left := texts[SNIFFED_FILES:]:
        yield left[0].file, f"{len(left)} text files, from this one on, were not looked at"
