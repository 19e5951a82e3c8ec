"""The tables and lists that a user's folder brings, loose or in a zip like Kaggle's."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from cxr14.data.archives.loose import files_below
from cxr14.data.archives.refusals import Report

TABLE_BYTES = 64 * 2**20
"""More than any of NIH's tables has (8 MB)."""


def find_tables(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read the files of these names in a folder, up to three folders below it, and in its zips.

    Of several with one name the one that lies least deep is taken, a loose one before one in a zip.
    """
    files = sorted((name.count("/"), name) for name, _ in files_below(folder, Report()))
    found: dict[str, bytes] = {}
    for _, name in files:
        if PurePosixPath(name).name in names:
            found.setdefault(PurePosixPath(name).name, (folder / name).read_bytes())
    for _, name in files:
        if name.lower().endswith(".zip"):
            with ZipFile(folder / name) as archive:
                for entry in archive.infolist():
                    base = PurePosixPath(entry.filename).name
                    if base in names and base not in found and entry.file_size <= TABLE_BYTES:
                        found[base] = archive.read(entry)
    return found
