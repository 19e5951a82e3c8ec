"""Which files in data/raw were written by the stage `download`, so that it removes no other.

The archives are recognised by content: a hard link to the download, or a hash in a record beside
the folder, which DVC does not delete. The tables are recognised by the facts that lie with them.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cxr14.data.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, RAW_FILES
from cxr14.errors import UserError
from cxr14.files import read_json, sha256, write_json

RECORD = "written.json"
"""In data/raw: the SHA-256 of each archive that was drawn or copied into data/raw/archives."""

TABLE_NAMES = (IMAGE_TABLE, BOX_TABLE, *LISTS, *RAW_FILES)
ARCHIVE_NAME = r"images_\d+\.tar(\.gz)?"
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


def is_temporary(name: str, written: str) -> bool:
    """Tell a temporary file of cxr14.files.replacing, which a killed process leaves.

    Args:
        name: of the file.
        written: pattern of the names of complete files.
    """
    return re.match(rf"\.+({written})\.\w", name) is not None


def foreign_tables(tables: Path) -> list[Path]:
    """List the files in the folder of tables that the stage did not write.

    With the facts of an earlier run in it the folder is ours, and so is what has our names;
    without them all files are the user's.
    """
    ours = TABLE_NAMES if _has_facts(tables) else ()
    pattern = "|".join(map(re.escape, TABLE_NAMES))
    return [
        path
        for path in _files(tables)
        if path.name not in ours and not is_temporary(path.name, pattern)
    ]


def _has_facts(tables: Path) -> bool:
    try:
        facts = read_json(tables / FACTS)
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and {"source", "phantom", "base"} <= set(facts)


def foreign_archives(
    archives: Path, known: Mapping[str, Iterable[Path]], recorded: str | None = None
) -> list[Path]:
    """List the files in the folder of archives that the stage did not write.

    Args:
        archives: the folder.
        known: for names in it, files that ours are hard links of: downloads, DVC's cache.
        recorded: the MD5 of the whole folder in dvc.lock, if it is there.
    """
    hashes = _record(archives)
    unknown = [
        path
        for path in _files(archives)
        if not is_temporary(path.name, ARCHIVE_NAME)
        and not any(_is_same(path, other) for other in known.get(path.name, ()))
        and (path.is_symlink() or not path.is_file() or sha256(path) not in hashes)
    ]
    return unknown if unknown and folder_md5(archives) != recorded else []


def _files(folder: Path) -> list[Path]:
    listed = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in listed if path.name not in SYSTEM_FILES]


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and not path.is_symlink() and path.samefile(other)


def folder_md5(folder: Path) -> str | None:
    """Return the MD5 that DVC gives a folder of files; None if it holds anything else."""
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    if not all(path.is_file() and not path.is_symlink() for path in paths):
        return None
    entries = []
    for path in paths:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        entries.append({"md5": md5, "relpath": path.name})
    listing = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def _record(archives: Path) -> set[str]:
    path = archives.with_name(RECORD)
    try:
        hashes = read_json(path) if path.is_file() else []
    except UserError:
        hashes = None
    return set(map(str, hashes)) if isinstance(hashes, list) else set()  # damaged: nothing is known


def place_archive(temporary: Path, target: Path) -> None:
    """Give an archive its name, and record it before, so that a kill leaves nothing unknown."""
    hashes = _record(target.parent) | {sha256(temporary)}
    write_json(target.parent.with_name(RECORD), sorted(hashes))
    os.replace(temporary, target)  # noqa: PTH105
