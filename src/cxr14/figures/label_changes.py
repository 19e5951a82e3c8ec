"""Contact sheet of the most confident label changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.chexnext.label_changes import most_confident
from cxr14.chexnext.relabel import Relabelling
from cxr14.console import format_number
from cxr14.datasets.records import Source
from cxr14.figures.style import BLUE, GREY, INK, ORANGE, WIDTH, display_name, titled, write_png
from cxr14.labels import FINDINGS

CHANGE_COLUMNS = 6
MARGIN, GAP, HEAD, CAPTION = 0.12, 0.08, 0.85, 0.52  # inches
COLOURS = {"added": BLUE, "removed": ORANGE}


@dataclass(frozen=True)
class LabelChange:
    """One changed label; pixels uint8 (S, S), direction "added" or "removed"."""

    pixels: npt.NDArray[np.uint8]
    image: str
    finding: str
    direction: str
    probability: float
    threshold: float
    remark: str


def draw_label_changes(path: str | Path, changes: Sequence[LabelChange], source: Source) -> None:
    """Write a PNG of label changes, added ones first; equal changes give equal bytes.

    Args:
        path: of the PNG.
        changes: sorted by confidence, highest first; may be empty.
        source: of the images.
    """
    groups = [[change for change in changes if change.direction == name] for name in COLOURS]
    rows = [
        group[start : start + CHANGE_COLUMNS]
        for group in groups
        for start in range(0, len(group), CHANGE_COLUMNS)
    ]
    write_png(path, _figure, rows, source)


def _figure(rows: Sequence[Sequence[LabelChange]], source: Source) -> Figure:
    side = (WIDTH - 2 * MARGIN - GAP * (CHANGE_COLUMNS - 1)) / CHANGE_COLUMNS
    pitch = side + CAPTION + GAP
    height = HEAD + pitch * len(rows) + MARGIN
    selection = "the farthest beyond their threshold, at most two of a finding"
    headline_text = "the most confident flips" if rows else "no label was flipped"
    below = source.label(selection, "{}; {}")
    figure = titled(f"Relabelling, train and val: {headline_text}", below, height)
    for line, row in enumerate(rows):
        for column, change in enumerate(row):
            left = MARGIN + column * (side + GAP)
            bottom = height - HEAD - pitch * line - CAPTION - side
            box = (left / WIDTH, bottom / height, side / WIDTH, side / height)
            _draw_change(figure.add_axes(box), change)
    return figure


def _draw_change(axes: Axes, change: LabelChange) -> None:
    axes.imshow(change.pixels, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set(color=COLOURS[change.direction], linewidth=2)
    sign = "+" if change.direction == "added" else "−"
    mark = f"{sign} {display_name(change.finding)}"
    numbers = f"p {format_number(change.probability, 2)}, from {format_number(change.threshold, 2)}"
    name = change.image.removesuffix(".png")
    lines = ((mark, 9, INK, 25), (numbers + change.remark, 7, GREY, 15), (name, 7, GREY, 5))
    for text, size, colour, above in lines:
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 1), (0, above), fontsize=size, color=colour, **offset)


ON_SHEET = 12  # label changes of each direction


def confident_label_changes(
    before: pd.DataFrame,
    after: pd.DataFrame,
    true: pd.DataFrame | None,
    judged: Relabelling,
    pixels: npt.NDArray[np.uint8],
    classes: Sequence[str],
) -> list[LabelChange]:
    """Return the most confident label changes of both directions.

    Args:
        before: the records of the images of the cache (N rows), in its order.
        after: the same, relabelled.
        true: the same with true labels; None if unknown.
        judged: probabilities, margins and thresholds of the members.
        pixels: uint8 (N, S, S), the cache.
        classes: C names of the judgement's columns.
    """
    names = [name for name in FINDINGS if name in classes]
    columns = [list(classes).index(name) for name in names]
    old, new = (table[names].to_numpy() > 0 for table in (before, after))
    margins = np.nan_to_num(judged.margins[:, columns])
    changes = []
    for direction in ("added", "removed"):
        for image, index in most_confident(old, new, margins, names, direction, ON_SHEET):
            cell = image, columns[index]
            probability, limit = float(judged.probabilities[cell]), float(judged.limits[cell])
            remark = ""
            if true is not None:
                right = bool(true[names[index]].iloc[image]) == bool(new[image, index])
                remark = ", right" if right else ", WRONG"
            name, finding = before["image"].iloc[image], names[index]
            change = (name, finding, direction, probability, limit, remark)
            changes.append(LabelChange(pixels[image], *change))
    return changes
