"""What every source leaves in data/raw: the names that the next stages read.

tables/  the two tables, the official lists where the source brings them, a manifest of the
         images with their hashes, what was odd about their files, and facts about the source
images/  archives drawn or downloaded; empty for `folder`, whose images stay where they are
"""

from pathlib import Path

from cxr14.files import project_root

TABLES, IMAGES = Path("data/raw/tables"), Path("data/raw/images")
IMAGE_TABLE = "Data_Entry_2017_v2020.csv"
BOX_TABLE = "BBox_List_2017.csv"
LISTS = ("train_val_list.txt", "test_list.txt")
SHIPPED = 1024
"""Pixels of each side of NIH's images; boxes are drawn in these, whatever size a copy has."""
MANIFEST, ODDITIES, FACTS = "manifest.csv", "oddities.csv", "source.json"


def images_base(base: str | None) -> Path:
    """Return the folder of the images: a user's own, as the facts name it, or IMAGES for null."""
    return IMAGES if base is None else project_root() / base
