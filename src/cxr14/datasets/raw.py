"""Files of data/raw, their readers, and detection of files that `download` did not write.

tables/    the two tables, the official lists if the source has them, a manifest of the images
           with their hashes, the data issues of the files, and facts about the source
archives/  archives rendered or downloaded; empty for `folder`, whose images stay where they are

data/raw/images is not used: it is where users put or link their own images.
"""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxr14.errors import UserError
from cxr14.io import file_md5, project_root, read_csv, read_json, sha256, unusable, write_json

TABLES, ARCHIVES = Path("data/raw/tables"), Path("data/raw/archives")
IMAGE_TABLE = "Data_Entry_2017_v2020.csv"
BOX_TABLE = "BBox_List_2017.csv"
LISTS = ("train_val_list.txt", "test_list.txt")
SHIPPED = 1024
"""Side of NIH's images in pixels. Boxes are in these pixels, whatever the size of a copy."""
RENEW = "`dvc repro --force download && dvc repro`"
"""Command that reads a user's folder again, since DVC does not track it."""

MANIFEST, RAW_ISSUES, FACTS = "manifest.csv", "issues.csv", "source.json"
MASK_TABLE = "masks.parquet"
"""Masks of the findings of phantoms; other sources have none."""
RAW_FILES = (MANIFEST, RAW_ISSUES, FACTS, MASK_TABLE, "oddities.csv")
"""Files in tables/ beside the tables and lists; the last is of earlier versions."""


def images_base(base: str | None) -> Path:
    """Return the folder of the images: the user's folder `base`, or ARCHIVES for None."""
    return ARCHIVES if base is None else project_root() / base


def read_facts(tables: Path = TABLES) -> dict[str, Any]:
    """Read the facts on the source that `download` wrote: name, phantom, base and tables.

    Raises:
        UserError: the file is missing or damaged.
    """
    keys = ("source", "phantom", "base", "table_files", "table_sha256")
    facts: dict[str, Any] = read_json(tables / FACTS, *keys)
    if not isinstance(facts["phantom"], bool) or not isinstance(facts["base"], str | None):
        raise unusable(tables / FACTS, "is damaged: a value is of the wrong type")
    return facts


def read_manifest(tables: Path = TABLES) -> pd.DataFrame:
    """Read the list of images: image, container, member, bytes, sha256; one row per image.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = tables / MANIFEST
    names = {"image": str, "container": str, "member": str, "sha256": str}
    manifest = read_csv(
        path,
        {"bytes": "integer", **dict.fromkeys(names, "any")},
        key="image",
        dtype=names,
        keep_default_na=False,
    )
    if not manifest["sha256"].str.fullmatch("[0-9a-f]{64}").all():
        raise unusable(path, "is damaged: a sha256 is not 64 hexadecimal digits")
    return manifest


# Files in data/raw that the stage `download` wrote; it removes no other. Archives are identified by
# content (a hard link to the download, or a hash in RECORD), tables by the facts beside them.

RECORD = "written.json"
"""In data/raw: SHA-256 of each archive that was rendered or copied into data/raw/archives."""

TABLE_NAMES = (IMAGE_TABLE, BOX_TABLE, *LISTS, *RAW_FILES)
ARCHIVE_NAME = r"images_\d+\.tar(\.gz)?"
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


def is_temporary(name: str, written: str) -> bool:
    """Tell whether a name is that of a temporary file of cxr14.io.replacing for `written`."""
    return re.match(rf"\.+({written})\.\w", name) is not None


def foreign_tables(tables: Path) -> list[Path]:
    """List the files in the folder of tables that the stage did not write.

    Without the facts of an earlier run all files are the user's.
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
        known: by file name, paths of downloads and of DVC's cache; the archives may be hard links.
        recorded: MD5 of the whole folder in dvc.lock, or None.
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
    """Return DVC's MD5 of a folder of files; None if it holds anything else."""
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    if not all(path.is_file() and not path.is_symlink() for path in paths):
        return None
    entries = [{"md5": file_md5(path), "relpath": path.name} for path in paths]
    listing = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def _record(archives: Path) -> set[str]:
    path = archives.with_name(RECORD)
    try:
        hashes = read_json(path) if path.is_file() else []
    except UserError:
        hashes = None
    return set(map(str, hashes)) if isinstance(hashes, list) else set()  # else damaged


def place_archive(temporary: Path, target: Path) -> None:
    """Record an archive and rename it, in this order in case the process is killed."""
    hashes = _record(target.parent) | {sha256(temporary)}
    write_json(target.parent.with_name(RECORD), sorted(hashes))
    os.replace(temporary, target)  # noqa: PTH105


# Names and first lines by which a table or list of the set is recognized.

NAMES = {  # names of each table, best first; a later tier counts if the others are missing
    IMAGE_TABLE: ((IMAGE_TABLE, "Data_Entry_2017.csv"), ("sample_labels.csv",)),
    BOX_TABLE: ((BOX_TABLE, "BBox_List.csv"),),
    LISTS[0]: ((LISTS[0],),),
    LISTS[1]: ((LISTS[1],),),
}
TIER = 10

TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".tab")
SHEET_SUFFIXES = (
    *(".xlsx", ".xls", ".ods"),
    *(f"{text}{packed}" for text in TEXT_SUFFIXES for packed in (".gz", ".bz2", ".xz", ".zst")),
)
"""Suffixes of tables that are not read, but reported."""

FORMALITIES = re.compile(
    r"(^(copy|kopie|copie|copia) (of|von|de) )"
    r"|([ (]+(another |\d+(st|nd|rd|th) )?(copy|kopie|copie|copia|nih|official)( \d+)?[ )]*$)"
    r"|( *\(\d+\)$)"
)
"""Parts of a name, in lower case and with spaces for - and _, that are ignored."""

CONTENT = re.compile(
    r"\d{8}_\d{3}|\w\.(png|jpe?g|dcm|dicom)\s*([\"',;\t\r\n]|$)|image.?index|finding.?label"
    r"|patient.?id|bbox",
    re.IGNORECASE,
)
"""Pattern in the first lines of a table or list of images."""


def may_be_table(path: str) -> bool:
    """Tell whether a file is a text or sheet by its suffix, or has a table's name without one."""
    name = path.rpartition("/")[2]  # not pathlib, which interns every name
    if name.startswith("."):
        return False
    bare = "." not in name and recognize(name)[0] is not None
    return bare or name.lower().endswith(TEXT_SUFFIXES + SHEET_SUFFIXES)


def is_sheet(path: str) -> bool:
    """Tell whether a file has the suffix of a table format that is not read."""
    return path.lower().endswith(SHEET_SUFFIXES)


def holds_table(start: bytes) -> bool:
    """Tell whether the first bytes of a text, in any encoding, are those of a table or list."""
    text = start.replace(b"\0", b"").decode("latin-1")  # for Latin letters
    return CONTENT.search(text) is not None


def recognize(name: str) -> tuple[str | None, int]:
    """Return the table of that name, or None, and the rank of the name."""
    name = name.rpartition("/")[2]
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
    """Return a name without suffixes, case and FORMALITIES; None for a SHEET_SUFFIX."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    if plain.endswith(SHEET_SUFFIXES):
        return None
    while plain.endswith(TEXT_SUFFIXES):
        plain = plain.rpartition(".")[0]
    plain = re.sub(r"[\s_\-–.]+", " ", plain).strip()
    while (shorter := FORMALITIES.sub("", plain).strip()) != plain:
        plain = shorter
    return plain
