"""Contact sheet of the most confident label changes."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.console import format_number
from cxr14.datasets.records import Source
from cxr14.figures.style import BLUE, GREY, INK, ORANGE, WIDTH, display_name, titled, write_png
from cxr14.io import Kind

CHANGE_COLUMNS = 6
MARGIN, GAP, HEAD, CAPTION = 0.12, 0.08, 0.85, 0.52  # inches
COLOURS = {"added": BLUE, "removed": ORANGE}


CHANGES: Final[dict[str, Kind]] = {
    **{column: "text" for column in ("image", "finding", "direction")},
    **{column: "number" for column in ("probability", "threshold")},
    "right": "any",
}
"""Columns of chexnext/plots/relabel.csv."""

Pixels = npt.NDArray[np.uint8]


def draw_label_changes(
    path: str | Path, changes: pd.DataFrame, pixels: Pixels, source: Source
) -> None:
    """Write a PNG of label changes, added ones first; equal changes give equal bytes.

    Args:
        path: of the PNG.
        changes: n rows of ``label_changes.confident_changes``; may be empty.
        pixels: uint8 (n, S, S), their images.
        source: of the images.
    """
    write_png(path, _figure, changes, pixels, source)


def _figure(changes: pd.DataFrame, pixels: Pixels, source: Source) -> Figure:
    groups = [np.flatnonzero(changes["direction"] == name) for name in COLOURS]
    rows = [
        group[start : start + CHANGE_COLUMNS]
        for group in groups
        for start in range(0, len(group), CHANGE_COLUMNS)
    ]
    side = (WIDTH - 2 * MARGIN - GAP * (CHANGE_COLUMNS - 1)) / CHANGE_COLUMNS
    pitch = side + CAPTION + GAP
    height = HEAD + pitch * len(rows) + MARGIN
    selection = "the farthest beyond their threshold, at most two of a finding"
    headline_text = "the most confident changes" if rows else "no label was changed"
    below = source.label(selection, "{}; {}")
    figure = titled(f"Relabelling, train and val: {headline_text}", below, height)
    for line, row in enumerate(rows):
        for column, index in enumerate(row):
            left = MARGIN + column * (side + GAP)
            bottom = height - HEAD - pitch * line - CAPTION - side
            box = (left / WIDTH, bottom / height, side / WIDTH, side / height)
            _draw_change(figure.add_axes(box), changes.iloc[index], pixels[index])
    return figure


def _draw_change(axes: Axes, change: "pd.Series[Any]", pixels: Pixels) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set(color=COLOURS[change["direction"]], linewidth=2)
    sign = "+" if change["direction"] == "added" else "−"
    mark = f"{sign} {display_name(change['finding'])}"
    p, threshold = (format_number(change[key], 2) for key in ("probability", "threshold"))
    remark = "" if pd.isna(change["right"]) else ", right" if change["right"] else ", WRONG"
    numbers, name = f"p {p}, from {threshold}{remark}", change["image"].removesuffix(".png")
    lines = ((mark, 9, INK, 25), (numbers, 7, GREY, 15), (name, 7, GREY, 5))
    for text, size, colour, above in lines:
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 1), (0, above), fontsize=size, color=colour, **offset)
