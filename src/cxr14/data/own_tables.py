"""The tables and lists that a user's folder brings, loose or in a zip like Kaggle's."""

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from cxr14.data.archives.loose import files_below
from cxr14.data.archives.refusals import Report
from cxr14.data.archives.zipped import DAMAGE
from cxr14.errors import UserError

TABLE_BYTES = 64 * 2**20
"""More than any of NIH's tables has (8 MB)."""


def find_tables(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the files of these names in a folder, up to three folders below it, and in its zips.

    Of several with one name the one that lies least deep is taken, a loose one before one in a zip.
    A zip that cannot be opened is passed by with a warning: it may have nothing to do with the set.

    Raises:
        UserError: a zip has one of these files, and it is damaged or too large.
    """
    files = sorted((name.count("/"), name) for name, _ in files_below(folder, Report()))
    found: dict[str, bytes] = {}
    for _, name in files:
        if PurePosixPath(name).name in names:
            found.setdefault(PurePosixPath(name).name, (folder / name).read_bytes())
    for _, name in files:
        if name.lower().endswith(".zip"):
            try:
                archive = ZipFile(folder / name)
            except DAMAGE as error:
                told = f"{folder / name} cannot be opened ({error}); no tables are taken from it"
                warnings.warn(told, stacklevel=2)
                continue
            with archive:
                for table, content in _tables_of(archive, set(names) - set(found)):
                    found.setdefault(table, content)
    return found


def _tables_of(archive: ZipFile, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for entry in archive.infolist():
        name = PurePosixPath(entry.filename).name
        if name not in names:
            continue
        if entry.file_size > TABLE_BYTES:
            fault = f"has {entry.file_size} bytes; a table has at most {TABLE_BYTES}"
            raise UserError(f"{archive.filename}: {entry.filename} {fault}")
        try:
            yield name, archive.read(entry)
        except DAMAGE as error:
            fault = f"is damaged ({error}); mend it, or take it out of the zip"
            raise UserError(f"{archive.filename}: {entry.filename} {fault}") from None
