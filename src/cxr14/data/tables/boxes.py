"""The list of boxes by radiologists, read by the rules of :mod:`cxr14.data.tables.records`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.data.tables.box_units import Sizes, as_text, choose_unit, convert
from cxr14.data.tables.cells import Cells, check, read_cells
from cxr14.data.tables.columns import BOX_HEADINGS
from cxr14.data.tables.table import Table
from cxr14.findings import canonical

NUMBERS = ("x", "y", "width", "height")
COLUMNS = ("image", "finding", *NUMBERS)

UNIT = "unit_"
"""Begins the fact that counts the boxes of the list, with their unit after it."""

FileSizes = Callable[[list[str]], pd.DataFrame]
"""Image names to `width` and `height` in pixels of their files, by image; see
:func:`cxr14.data.image_sizes.file_sizes`. A file that is absent or unreadable is left out."""


def check_box_table(path: str | Path, name: str | None) -> Cells:
    """Read the cells of a list of boxes and check each by itself, whatever its images are.

    Args:
        path: the list of boxes.
        name: how errors call the file; None: `path`.

    Raises:
        UserError: a column is missing, or a cell is not allowed.
    """
    from cxr14.data.tables.schemas import BOXES

    cells = read_cells(path, name or str(path), BOX_HEADINGS, (), NUMBERS)
    check(name or str(path), cells.text, BOXES)
    return cells


def read_box_table(
    path: str | Path,
    images: pd.DataFrame | None = None,
    origin: str | None = None,
    unit: str = "nih",
    file_sizes: FileSizes | None = None,
    nih_boxes: pd.DataFrame | None = None,
) -> Table:
    """Read the ground-truth boxes, and the issues in them.

    Args:
        path: the list of boxes.
        images: the records to compare the boxes with, or None.
        origin: how errors and issues call the file; None: `path`.
        unit: of the boxes in the file: auto, or one of box_units.UNITS. All but nih need `images`
            and `file_sizes`.
        file_sizes: called only where the unit or the conversion depends on the files' sizes.
        nih_boxes: NIH's own list, for `auto`: a file that has any of its boxes has its unit.

    Returns:
        image, finding (standard spelling), x, y, width, height (float, pixels of NIH's 1024×1024
        grid, in which a file's longer side is 1024; x and y are the left upper corner), sorted by
        image, finding and position. A box in another unit whose image has no file is left out.

    Raises:
        UserError: a column is missing, a cell is not allowed, a box is wholly outside the image,
            or `auto` cannot decide.
    """
    name = origin or str(path)
    cells = check_box_table(path, name)
    text = cells.text
    written = text[list(COLUMNS)].astype(dict.fromkeys(NUMBERS, "float64"))
    written["finding"] = [canonical(finding) for finding in written.finding]
    kept = ~written.duplicated()
    issues = {
        "blank_lines": cells.blank,
        "repeated_rows": text.image[~kept],
        "respelled_labels": text.finding[kept & (text.finding != written.finding)],
        "unused_columns": cells.unused,
        "assumed_encoding": cells.assumed,
    }
    if images is not None:
        listed = written.image.isin(set(images.image))
        issues["image_in_no_table"] = text.image[kept & ~listed]
        kept &= listed
    boxes = written[kept]
    sizes = _sizes(boxes, images, file_sizes if unit != "nih" else None)
    why = "as data.boxes says"
    if unit == "auto":
        unit, why = choose_unit(name, boxes, sizes, nih_boxes)
    frame, clipped = convert(name, boxes, unit, sizes)
    placed = frame[[*NUMBERS]].notna().all(axis=1)
    frame = frame[placed]
    issues["clipped"] = as_text(boxes[clipped & placed.to_numpy()])
    issues["box_without_file"] = boxes.image[~placed]
    if images is not None:
        issues["label_not_in_table"] = _unlabelled(boxes, images)
    order = list(COLUMNS[:4])
    facts = {f"{UNIT}{unit}": len(frame)}
    note = f"read in the unit {unit} ({why})"
    return Table(frame.sort_values(order, ignore_index=True), issues, facts, name, note)


def boxed_images(table: Table) -> set[str]:
    """Return the images that have boxes, used or left out as their file is missing."""
    return {*table.frame.image, *table.issues["box_without_file"]}


def _sizes(boxes: pd.DataFrame, images: pd.DataFrame | None, file_sizes: FileSizes | None) -> Sizes:
    """Gather what is known of the sizes of N boxes' images; the files only when needed."""
    nothing = pd.DataFrame(columns=["width", "height"], dtype="float64")
    original = nothing
    if images is not None:
        columns = {"original_width": "width", "original_height": "height"}
        own = images[images.image.isin(boxes.image)].set_index("image")
        original = own[list(columns)].rename(columns=columns)

    def of_files() -> pd.DataFrame:
        return nothing if file_sizes is None else file_sizes(sorted(set(boxes.image)))

    return Sizes(boxes.image, original, of_files)


def _unlabelled(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Return the boxes whose finding the table does not give their image, as text."""
    labels = images.set_index("image")
    ones = [bool(labels.at[box.image, box.finding]) for box in boxes.itertuples()]
    return as_text(boxes[~np.array(ones, bool)])
