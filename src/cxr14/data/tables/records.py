"""The NIH tables as data frames: one row per image, one row per box.

Quirks of the shipped files and dirt in a user's own are handled here, and nowhere else.

Form:
  - Columns are read by their headings, in any order (``columns.py``); of encodings and delimiters
    the common ones are read (``cxr14.data.user_text``). Image cells may hold folders or another
    suffix. The lists may end without a newline.
  - The form of 2017 writes ages as 058Y, 011M or 024D, v2020 as 58: both become whole years.

Handled by a rule and listed as data issues (``table.RULES``):
  - Blank lines and rows identical to an earlier one are left out.
  - "Infiltrate" and the like are read as the standard name.
  - Ages above 100 (16 in 2017's table, up to 414) are recorded as missing.
  - A patient with two sexes stays as written.
  - A box partly outside the image is clipped. A box of an image that the table does not list is
    left out: the full list of boxes beside a table of one's own sample is no mistake. A box of a
    finding that the table does not give its image is kept.

An error that names the row: all else that :mod:`cxr14.data.tables.schemas` does not allow, a
patient that is not that of the image's name, rows of one image that disagree, and a box wholly
outside the image.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxr14.data.raw import BOX_TABLE, IMAGE_TABLE, LISTS, RENEW
from cxr14.data.tables.boxes import FileSizes, read_box_table
from cxr14.data.tables.cells import SUFFIX, assumed_encoding, image_names
from cxr14.data.tables.columns import IMAGE_HEADINGS, expanded, simplified
from cxr14.data.tables.images import read_image_table
from cxr14.data.tables.table import Table
from cxr14.data.user_text import Rows, read_lines, split_rows
from cxr14.errors import UserError, quote


def read_images(path: str | Path, origin: str | None = None) -> pd.DataFrame:
    """Read the table of images; see :func:`cxr14.data.tables.images.read_image_table`."""
    return read_image_table(path, origin).frame


def read_boxes(path: str | Path, origin: str | None = None) -> pd.DataFrame:
    """Read NIH's ground-truth boxes; see :func:`cxr14.data.tables.boxes.read_box_table`."""
    return read_box_table(path, origin=origin).frame


def read_list_table(
    path: str | Path, images: pd.DataFrame | None = None, origin: str | None = None
) -> Table:
    """Read a list of images, one name a line or a table with such a column, and its issues.

    Args:
        path: the list.
        images: the records, or None; names that are not among them are left out.
        origin: how errors and issues call the list; None: `path`.

    Raises:
        UserError: the file is not text, or a line holds more than a name.
    """
    name = origin or str(path)
    content = read_lines(path, name)
    lines = _listed(split_rows(content, name), name)
    names = image_names(lines[lines != ""])
    again = names.duplicated()
    listed = names.isin(set(names) if images is None else set(images.image))
    last = pd.Series(content.lines, range(1, len(content.lines) + 1), dtype="str").str.strip()
    issues = {
        "blank_lines": lines[lines == ""],
        "listed_twice": names[again],
        "image_in_no_table": names[~again & ~listed],
        "no_final_newline": last.tail(0 if content.ended else 1),
        "assumed_encoding": assumed_encoding(content.assumed),
    }
    frame = names[~again & listed].to_frame("image").reset_index(drop=True)
    return Table(frame, issues, {}, name)


def _listed(rows: Rows, name: str) -> pd.Series:
    """Return the cell of each row that names an image, '' for a blank line; indexed by `row`."""
    column = None
    cells, numbers = rows.cells, rows.numbers
    simple = [simplified(cell) for cell in expanded(cells[0])] if cells else []
    heading = next((one for one in IMAGE_HEADINGS["image"] if one in simple), None)
    if heading is not None:
        column, cells, numbers = simple.index(heading), cells[1:], numbers[1:]
    found = []
    for number, row in zip(numbers, cells, strict=True):
        filled = [cell for cell in row if cell] if column is None else row[column : column + 1]
        if len(filled) > 1 or any(SUFFIX.search(one) for one in " ".join(filled).split()[:-1]):
            raise UserError(
                f"{name}, row {number}: {quote(rows.delimiter.join(row))}; allowed: one image name "
                f"a line, or a table with a column Image Index; correct the file, then run {RENEW}"
            )
        found.append(filled[0] if filled else "")
    return pd.Series(found, index=pd.Index(numbers, dtype="int64", name="row"), dtype="str")


def read_tables(
    folder: Path,
    lists: bool,
    origins: Mapping[str, str | None] | None = None,
    box_unit: str = "nih",
    file_sizes: FileSizes | None = None,
    nih_boxes: pd.DataFrame | None = None,
) -> dict[str, Table]:
    """Read all tables of data/raw/tables: images, boxes and, if wanted, the official lists.

    Args:
        folder: where they are, under the names of :mod:`cxr14.data.raw`.
        lists: whether to read the official lists too.
        origins: by these names, how errors and issues call a table: the user's path of it. A
            table without one is called by its path in `folder`.
        box_unit: see :func:`cxr14.data.tables.boxes.read_box_table`, also for the other two.
        file_sizes: of the image files.
        nih_boxes: NIH's own list.

    Raises:
        UserError: something that no rule handles; it names file, row and what is allowed.
    """
    origin = dict(origins or {})
    images = read_image_table(folder / IMAGE_TABLE, origin.get(IMAGE_TABLE))
    boxes = read_box_table(
        folder / BOX_TABLE,
        images.frame,
        origin.get(BOX_TABLE),
        unit=box_unit,
        file_sizes=file_sizes,
        nih_boxes=nih_boxes,
    )
    wanted = [folder / name for name in LISTS] if lists else []
    read = {
        path.stem: read_list_table(path, images.frame, origin.get(path.name)) for path in wanted
    }
    return {"images": images, "boxes": boxes, **read}
