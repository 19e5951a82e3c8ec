"""The NIH tables as data frames: one row per image, one row per box.

Quirks of the shipped files and dirt in a user's own are met here, and nowhere else.

Form:
  - Columns are read by position: two headings of ``Data_Entry_2017*.csv`` hold a comma
    (``OriginalImage[Width,Height]``), and ``BBox_List_2017.csv`` has a header of nine fields over
    rows of six. Some forms end each row with a comma. The lists do not end in a newline.
  - The form of 2017 writes ages as 058Y, 011M or 024D, v2020 as 58: both become whole years.

Met by a rule and counted (``oddities.RULES``):
  - Blank lines and rows identical to an earlier one are left out.
  - "Infiltrate" and the like are read as the standard name.
  - Ages above 100 (16 in 2017's table, up to 414) are recorded as missing.
  - A patient with two sexes stays as written.
  - A box partly outside the image is clipped. A box of an image that the table does not list is
    left out: the full list of boxes beside a table of one's own sample is no mistake. A box of a
    finding that the table does not give its image is kept.

An error that names the row: all else that :mod:`cxr14.data.tables.schemas` does not allow, rows
of one image that disagree, and a box wholly outside the image.
"""

from pathlib import Path

import pandas as pd

from cxr14.data.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.data.tables.boxes import read_box_table
from cxr14.data.tables.images import read_image_table
from cxr14.data.tables.oddities import Table


def read_images(path: str | Path) -> pd.DataFrame:
    """Read the table of images; see :func:`cxr14.data.tables.images.read_image_table`."""
    return read_image_table(path).frame


def read_boxes(path: str | Path) -> pd.DataFrame:
    """Read the hand-drawn boxes; see :func:`cxr14.data.tables.boxes.read_box_table`."""
    return read_box_table(path).frame


def read_list_table(path: str | Path, images: pd.DataFrame | None = None) -> Table:
    """Read an official list, one image name a line, and what was odd in it.

    Args:
        path: the list.
        images: the records, or None; names that are not among them are left out.
    """
    content = Path(path).read_text()
    lines = pd.Series(content.splitlines(), dtype="str").str.strip()
    lines.index = pd.RangeIndex(1, len(lines) + 1, name="row")
    names = lines[lines != ""]
    again = names.duplicated()
    listed = names.isin(names if images is None else images.image.tolist())
    odd = {
        "blank_lines": lines[lines == ""],
        "listed_twice": names[again],
        "image_in_no_table": names[~again & ~listed],
        "no_final_newline": lines.tail(0 if content.endswith("\n") else 1),
    }
    frame = names[~again & listed].to_frame("image").reset_index(drop=True)
    return Table(frame, odd, {})


def read_tables(folder: Path, lists: bool) -> dict[str, Table]:
    """Read all tables of data/raw/tables: images, boxes and, if wanted, the official lists.

    Args:
        folder: where they are, under the names of :mod:`cxr14.data.raw`.
        lists: whether to read the official lists too.

    Raises:
        UserError: something that no rule can meet; it names file, row and what is allowed.
    """
    images = read_image_table(folder / IMAGE_TABLE)
    boxes = read_box_table(folder / BOX_TABLE, images.frame)
    wanted = [folder / name for name in LISTS] if lists else []
    read = {path.stem: read_list_table(path, images.frame) for path in wanted}
    return {"images": images, "boxes": boxes, **read}
