"""What every source leaves in data/raw: the names that the next stages read.

tables/    the two tables, the official lists where the source brings them, a manifest of the
           images with their hashes, the data issues of the files, and facts about the source
archives/  archives drawn or downloaded; empty for `folder`, whose images stay where they are

data/raw/images is not used: it is where users put or link their own images.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from cxr14.files import project_root, read_csv, read_json, unusable

TABLES, ARCHIVES = Path("data/raw/tables"), Path("data/raw/archives")
IMAGE_TABLE = "Data_Entry_2017_v2020.csv"
BOX_TABLE = "BBox_List_2017.csv"
LISTS = ("train_val_list.txt", "test_list.txt")
SHIPPED = 1024
"""Pixels of each side of NIH's images; boxes are drawn in these, whatever size a copy has."""
RENEW = "`dvc repro --force download && dvc repro`"
"""What reads a user's folder again: DVC does not watch it."""

MANIFEST, RAW_ISSUES, FACTS = "manifest.csv", "issues.csv", "source.json"
RAW_FILES = (MANIFEST, RAW_ISSUES, FACTS, "oddities.csv")
"""Files in tables/ beside the tables and lists; the last is of earlier versions."""


def images_base(base: str | None) -> Path:
    """Return the folder of the images: a user's own, as the facts name it, or ARCHIVES for null."""
    return ARCHIVES if base is None else project_root() / base


def read_facts(tables: Path = TABLES) -> dict[str, Any]:
    """Read what `download` wrote of the source: its name, phantom, base and own tables.

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
