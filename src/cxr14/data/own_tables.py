"""The tables and lists that a user's folder brings, loose or in a zip like Kaggle's."""

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from cxr14.data.archives.loose import files_below
from cxr14.data.archives.refusals import Report
from cxr14.data.archives.zipped import DAMAGE

TABLE_BYTES = 64 * 2**20
"""More than any of NIH's tables has (8 MB)."""


def find_tables(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the files of these names in a folder, up to three folders below it, and in its zips.

    Of several with one name the one that lies least deep is taken, a loose one before one in a zip.
    A zip that cannot be read is passed by with a warning: it may have nothing to do with the set.
    """
    files = sorted((name.count("/"), name) for name, _ in files_below(folder, Report()))
    found: dict[str, bytes] = {}
    for _, name in files:
        if PurePosixPath(name).name in names:
            found.setdefault(PurePosixPath(name).name, (folder / name).read_bytes())
    for _, name in files:
        if name.lower().endswith(".zip"):
            try:
                for table, content in _tables_of(folder / name, names):
                    found.setdefault(table, content)
            except DAMAGE as error:
                told = f"{folder / name}: no tables are taken from it ({error})"
                warnings.warn(told, stacklevel=2)
    return found


def _tables_of(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    with ZipFile(path) as archive:
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename).name
            if name in names:
                if entry.file_size > TABLE_BYTES:
                    raise ValueError(f"{name} has {entry.file_size} bytes, a table {TABLE_BYTES}")
                yield name, archive.read(entry)
