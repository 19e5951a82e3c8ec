"""What every source leaves in data/raw: the names that the next stages read.

tables/    the two tables, the official lists where the source brings them, a manifest of the
           images with their hashes, the data issues of the files, and facts about the source
archives/  archives drawn or downloaded; empty for `folder`, whose images stay where they are

data/raw/images is not used: it is where users put or link their own images.
"""

from pathlib import Path

from cxr14.files import project_root

TABLES, ARCHIVES = Path("data/raw/tables"), Path("data/raw/archives")
IMAGE_TABLE = "Data_Entry_2017_v2020.csv"
BOX_TABLE = "BBox_List_2017.csv"
LISTS = ("train_val_list.txt", "test_list.txt")
SHIPPED = 1024
"""Pixels of each side of NIH's images; boxes are drawn in these, whatever size a copy has."""
MANIFEST, RAW_ISSUES, FACTS = "manifest.csv", "issues.csv", "source.json"
RAW_FILES = (MANIFEST, RAW_ISSUES, FACTS, "oddities.csv")
"""Files in tables/ beside the tables and lists; the last is of earlier versions."""


def images_base(base: str | None) -> Path:
    """Return the folder of the images: a user's own, as the facts name it, or ARCHIVES for null."""
    return ARCHIVES if base is None else project_root() / base
