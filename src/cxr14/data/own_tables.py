"""The tables and lists that a user's folder brings, loose or in a zip like Kaggle's.

Copies of NIH's files go by many names: another case, `… (1).csv` of a browser, `… - Copy.csv`,
`train_val_list_NIH.txt` and `BBox_List_2017_Official_NIH.csv` of Kaggle's smaller sets. All of
these are read. A file that looks like a table and is not read is reported, never passed over.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from cxr14.data.archives.loose import files_below
from cxr14.data.archives.refusals import Report
from cxr14.data.own_files import (
    open_own_zip,
    read_member,
    read_member_start,
    read_own_file,
    read_start,
)
from cxr14.data.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.errors import UserError, quote

NAMES = {  # how each table may be called, best first; those of a later tier if no other is found
    IMAGE_TABLE: ((IMAGE_TABLE, "Data_Entry_2017.csv"), ("sample_labels.csv",)),
    BOX_TABLE: ((BOX_TABLE, "BBox_List.csv"),),
    LISTS[0]: ((LISTS[0],),),
    LISTS[1]: ((LISTS[1],),),
}
TIER = 10

TEXT_SUFFIXES = (".csv", ".txt", ".tsv")
SHEET_SUFFIXES = (".xlsx", ".xls", ".ods", ".csv.gz", ".txt.gz", ".tsv.gz")
"""Tables that are not read; a file of such a name is reported."""

FORMALITIES = re.compile(
    r"(^(copy|kopie|copie|copia) (of|von|de) )"
    r"|([ (]+(another |\d+(st|nd|rd|th) )?(copy|kopie|copie|copia|nih|official)( \d+)?[ )]*$)"
    r"|( *\(\d+\)$)"
)
"""Parts of a name, in lower case and with spaces for - and _, that say nothing of its content."""

SNIFFED_BYTES = 4096
SNIFFED_FILES = 500
"""Files that are looked into; a folder with a text file per image has thousands."""

CONTENT = re.compile(
    r"\d{8}_\d{3}|\w\.(png|jpe?g)\s*([\"',;\t\r\n]|$)|image.?index|finding.?label|patient.?id|bbox",
    re.IGNORECASE,
)
"""What a table or list of images has in its first lines."""


@dataclass(frozen=True)
class OwnTable:
    """A table or list of a user.

    Attributes:
        file: its path in the folder; of a member of a zip the zip's and the member's, joined by /.
        content: its bytes.
    """

    file: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash of the content."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Found:
    """What a folder has.

    Attributes:
        tables: by the standard names (IMAGE_TABLE, BOX_TABLE, LISTS) that it has.
        unread: path and reason of each file that looks like a table and was not read.
    """

    tables: dict[str, OwnTable]
    unread: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class _Candidate:
    """A file that may be a table: the best name first, of equal ones those less deep."""

    rank: int
    packed: bool
    depth: int
    file: str
    archive: str = ""
    member: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.member or self.file).name

    @property
    def quality(self) -> tuple[int, bool, int]:
        return self.rank, self.packed, self.depth


def find_tables(folder: Path) -> Found:
    """Read the tables and lists of a folder, of the folders below it, and of its zips.

    The best name wins, then a loose file before one in a zip, then the one that is less deep.

    Raises:
        UserError: a table cannot be read, two that are equally good have different contents, or a
            folder has a table's name and no table in it.
    """
    files = [name for name, _ in files_below(folder, Report())]
    candidates: dict[str | None, list[_Candidate]] = {table: [] for table in (*NAMES, None)}
    tables: dict[str, OwnTable] = {}
    with ExitStack() as stack:
        reader = _Reader(folder, stack)
        for candidate in [*_loose(files), *reader.packed(files)]:
            table, rank = _recognize(candidate.name)
            candidates[table].append(replace(candidate, rank=rank))
        _check_folders(folder, {table for table in NAMES if candidates[table]})
        unread = reader.unopened
        for table in NAMES:
            if candidates[table]:
                tables[table], left = _choose(reader, table, sorted(candidates[table]))
                unread += left
        unread += _unread(reader, candidates[None])
    return Found(tables, sorted(unread))


def _loose(files: Sequence[str]) -> Iterator[_Candidate]:
    for name in files:
        if _is_text_or_sheet(name):
            yield _Candidate(0, False, name.count("/"), name)


class _Reader:
    """Reads files of a folder and members of its zips; each zip is opened once."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.unopened: list[tuple[str, str]] = []
        self._stack, self._archives = stack, dict[str, ZipFile]()

    def packed(self, files: Sequence[str]) -> Iterator[_Candidate]:
        """Yield the texts in the zips; a zip that cannot be opened is noted."""
        for name in files:
            if not name.lower().endswith(".zip") or PurePosixPath(name).name.startswith("."):
                continue
            try:
                archive = self._stack.enter_context(open_own_zip(self.folder / name))
            except UserError as error:  # it may have nothing to do with the set
                self.unopened.append((name, str(error)))
                continue
            self._archives[name] = archive
            for entry in archive.infolist():
                member = entry.filename
                if _is_text_or_sheet(member) and not entry.is_dir():
                    depth = name.count("/") + 1 + member.count("/")
                    yield _Candidate(0, True, depth, f"{name}/{member}", name, member)

    def content(self, candidate: _Candidate) -> bytes:
        """Read a file whole."""
        if not candidate.archive:
            return read_own_file(self.folder / candidate.file)
        archive = self._archives[candidate.archive]
        return read_member(archive, archive.getinfo(candidate.member))

    def start(self, candidate: _Candidate) -> bytes:
        """Read the first bytes of a file."""
        if not candidate.archive:
            return read_start(self.folder / candidate.file, SNIFFED_BYTES)
        return read_member_start(self._archives[candidate.archive], candidate.member, SNIFFED_BYTES)


def _is_text_or_sheet(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.lower().endswith(TEXT_SUFFIXES + SHEET_SUFFIXES) and not name.startswith(".")


def _recognize(name: str) -> tuple[str | None, int]:
    """Return the table that a file's name stands for, or None, and the rank of the name."""
    plain = _plain(name)
    for table, tiers in NAMES.items():
        for tier, names in enumerate(tiers):
            if name in names:
                return table, tier * TIER + names.index(name)
            similar = [known for known in names if _plain(known) == plain]
            if similar:
                return table, tier * TIER + len(names) + names.index(similar[0])
    return None, 0


def _plain(name: str) -> str | None:
    """Return a name without suffixes, case and formalities; None if it is no name of a text."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    if plain.endswith(SHEET_SUFFIXES):
        return None
    while plain.endswith(TEXT_SUFFIXES):
        plain = plain.rpartition(".")[0]
    plain = re.sub(r"[\s_\-–.]+", " ", plain).strip()
    while (shorter := FORMALITIES.sub("", plain).strip()) != plain:
        plain = shorter
    return plain


def _choose(
    reader: _Reader, table: str, candidates: Sequence[_Candidate]
) -> tuple[OwnTable, list[tuple[str, str]]]:
    """Read the best of the candidates; name those of other content that are not read.

    Raises:
        UserError: the best cannot be read, or another one is as good and has another content.
    """
    best = candidates[0]
    chosen = OwnTable(best.file, reader.content(best))
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


def _is_same(reader: _Reader, other: _Candidate, chosen: OwnTable) -> bool:
    try:
        return reader.content(other) == chosen.content
    except UserError:  # damaged, but not needed
        return False


def _check_folders(folder: Path, found: set[str]) -> None:
    """Refuse a folder that has the name of a table that was not found, as unpacking may make."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _is_folder(entry)]
    for name in sorted(filter(_is_text_or_sheet, names)):
        table, _ = _recognize(name)
        if table and table not in found:
            raise UserError(f"{folder / name} is a folder; allowed: a regular file with the table")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _unread(reader: _Reader, others: Sequence[_Candidate]) -> Iterator[tuple[str, str]]:
    """Name those of the files that no table's name fits and that look like a table or list."""
    for other in sorted(others)[:SNIFFED_FILES]:
        if other.file.lower().endswith(SHEET_SUFFIXES):
            yield other.file, "not a text file; save it as CSV under the name of NIH's table"
            continue
        try:
            start = reader.start(other)
        except UserError as error:
            yield other.file, str(error)
            continue
        if CONTENT.search(_decoded(start)):
            known = ", ".join(NAMES)
            yield other.file, f"it looks like a table or list; names that are read: {known}"


def _decoded(start: bytes) -> str:
    """Return the start of a text of any encoding, well enough to find Latin letters in it."""
    return start.replace(b"\0", b"").decode("latin-1")
