"""The list of hand-drawn boxes, read by the rules of :mod:`cxr14.data.tables.records`."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.data.raw import SHIPPED
from cxr14.data.tables.oddities import Table
from cxr14.data.tables.text import check, read_text, refuse, without_blank_lines
from cxr14.findings import canonical

BOX_COLUMNS = ("image", "finding", "x", "y", "width", "height")


def read_box_table(path: str | Path, images: pd.DataFrame | None = None) -> Table:
    """Read the hand-drawn boxes, and what was odd in them.

    Args:
        path: the list of boxes.
        images: the records to hold the boxes against, or None.

    Returns:
        image, finding (standard spelling), x, y, width, height (float, pixels of the shipped
        1024×1024 image; x and y are the left upper corner), sorted by image, finding and place.

    Raises:
        UserError: a cell that is not allowed, or a box wholly outside the image.
    """
    from cxr14.data.tables.schemas import BOXES

    text = read_text(path, BOX_COLUMNS, ("surplus_1", "surplus_2", "surplus_3"))
    text, blank = without_blank_lines(text)
    check(path, text, BOXES)
    written = text[list(BOX_COLUMNS)].astype(dict.fromkeys(BOX_COLUMNS[2:], "float64"))
    written["finding"] = [canonical(name) for name in written.finding]
    frame = _clipped(path, written)
    kept = ~written.duplicated()
    odd = {
        "blank_lines": blank,
        "repeated_rows": text.image[~kept],
        "respelled_labels": text.finding[kept & (text.finding != frame.finding)],
        "clipped": _as_text(written[kept & (frame != written).any(axis=1)]),
    }
    if images is not None:
        boxed = images[images.image.isin(frame.image.tolist())]
        listed = frame.image.isin(boxed.image.tolist())
        odd["image_in_no_table"] = text.image[kept & ~listed]
        kept &= listed
        odd["label_not_in_table"] = _unlabelled(frame[kept], boxed)
    order = list(BOX_COLUMNS[:4])
    return Table(frame[kept].sort_values(order, ignore_index=True), odd, {})


def _clipped(path: str | Path, boxes: pd.DataFrame) -> pd.DataFrame:
    """Clip boxes to the image; those inside keep their numbers to the last digit."""
    clipped = boxes.copy()
    for start, size in (("x", "width"), ("y", "height")):
        low, high = boxes[start].clip(lower=0), (boxes[start] + boxes[size]).clip(upper=SHIPPED)
        inside = (boxes[start] >= 0) & (boxes[start] + boxes[size] <= SHIPPED)
        clipped[start] = low
        clipped[size] = boxes[size].where(inside, high - low)
    lost = boxes.index[(clipped[["width", "height"]] <= 0).any(axis=1)]
    if len(lost):
        allowed = f"a box that meets the image of {SHIPPED}×{SHIPPED}"
        failures = {"column": "box", "value": _as_text(boxes.loc[lost]), "allowed": allowed}
        refuse(path, pd.DataFrame(failures))
    return clipped


def _as_text(boxes: pd.DataFrame) -> pd.Series:
    """Return N boxes as text: ``00000001_000.png Mass 1000 5 60.5 70``; (N,)."""
    lines = [
        f"{b.image} {b.finding} {b.x:g} {b.y:g} {b.width:g} {b.height:g}"
        for b in boxes.itertuples()
    ]
    return pd.Series(lines, index=boxes.index, dtype="str")


def _unlabelled(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Return the boxes whose finding the table does not give their image, as text."""
    labels = images.set_index("image")
    ones = [bool(labels.at[box.image, box.finding]) for box in boxes.itertuples()]
    return _as_text(boxes[~np.array(ones, bool)])
