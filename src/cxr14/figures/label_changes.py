"""A sheet of the most confident flips, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.relabel import ALL, Relabelling, most_confident
from cxr14.console import PHANTOM_NOTE
from cxr14.console import format_number as share
from cxr14.figures.style import BLUE, GREY, INK, ORANGE, STYLE, WIDTH, display_name, titled
from cxr14.io import replacing
from cxr14.labels import FINDINGS, NO_FINDING_COLUMN

CHANGE_COLUMNS, DPI = 6, 150
MARGIN, GAP, HEAD, CAPTION = 0.12, 0.08, 0.85, 0.52  # inches
COLOURS = {"added": BLUE, "removed": ORANGE}


@dataclass(frozen=True)
class Flip:
    """One flip: pixels uint8 (S, S), what was flipped from which threshold, and a remark."""

    pixels: npt.NDArray[np.uint8]
    image: str
    finding: str
    direction: str
    probability: float
    threshold: float
    remark: str


def draw_flips(path: str | Path, flips: Sequence[Flip], phantom: bool) -> None:
    """Write the sheet as PNG: rows of added labels, then of removed ones; equal flips, equal bytes.

    Args:
        path: of the PNG.
        flips: the most confident first; a sheet without any says so.
        phantom: whether to say that these are phantoms.
    """
    rows = [
        own[start : start + CHANGE_COLUMNS]
        for own in ([flip for flip in flips if flip.direction == name] for name in COLOURS)
        for start in range(0, len(own), CHANGE_COLUMNS)
    ]
    with style.context(["default", STYLE]), replacing(path) as temporary:
        figure = _figure(rows, phantom)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _figure(rows: Sequence[Sequence[Flip]], phantom: bool) -> Figure:
    side = (WIDTH - 2 * MARGIN - GAP * (CHANGE_COLUMNS - 1)) / CHANGE_COLUMNS
    pitch = side + CAPTION + GAP
    height = HEAD + pitch * len(rows) + MARGIN
    about = "the farthest beyond their threshold, at most two of a finding"
    told = "the most confident flips" if rows else "no label was flipped"
    below = f"{about}; {PHANTOM_NOTE}" if phantom else about
    figure = titled(f"Relabelling, train and val: {told}", below, height)
    for line, row in enumerate(rows):
        for column, flip in enumerate(row):
            left = MARGIN + column * (side + GAP)
            bottom = height - HEAD - pitch * line - CAPTION - side
            box = (left / WIDTH, bottom / height, side / WIDTH, side / height)
            _draw_change(figure.add_axes(box), flip)
    return figure


def _draw_change(axes: Axes, flip: Flip) -> None:
    axes.imshow(flip.pixels, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set(color=COLOURS[flip.direction], linewidth=2)
    sign = "+" if flip.direction == "added" else "−"
    mark = f"{sign} {display_name(flip.finding)}"
    numbers = f"p {share(flip.probability, 2)}, from {share(flip.threshold, 2)}"
    name = flip.image.removesuffix(".png")
    lines = ((mark, 9, INK, 25), (numbers + flip.remark, 7, GREY, 15), (name, 7, GREY, 5))
    for text, size, colour, above in lines:
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 1), (0, above), fontsize=size, color=colour, **offset)


# The report of a relabelling: flips by finding, thresholds, headline numbers, a sheet.


ON_SHEET = 12  # flips of each direction


def headline(table: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of metrics/relabel.json: those of the flips in train, and No Finding.

    Args:
        table: see flips.flips_table.
        before: the records of the train images (N rows).
        after: the same, relabelled.
    """
    row = table[(table["part"] == "train") & (table["finding"] == ALL)].iloc[0].to_dict()
    told = ("part", "finding", "reason")
    kept = {str(name): value for name, value in row.items() if name not in told}
    shares = {"before": before, "after": after}
    return kept | {f"no_finding_{n}": float(t[NO_FINDING_COLUMN].mean()) for n, t in shares.items()}


def thresholds_table(judged: Relabelling) -> pd.DataFrame:
    """List the thresholds: images (train fold F, or val), finding, threshold (empty: none)."""
    rows = [
        {
            "images": "val" if fold == NO_FOLD else f"train fold {fold}",
            "finding": name,
            "threshold": limit,
        }
        for fold, limits in judged.thresholds.items()
        for name, limit in limits.items()
    ]
    return pd.DataFrame(rows)


def confident_flips(
    before: pd.DataFrame,
    after: pd.DataFrame,
    true: pd.DataFrame | None,
    judged: Relabelling,
    pixels: npt.NDArray[np.uint8],
    classes: Sequence[str],
) -> list[Flip]:
    """Collect the most confident flips of both directions for the sheet.

    Args:
        before: the records of the images of the cache (N rows), in its order.
        after: the same, relabelled.
        true: the same with true labels, where they are known.
        judged: what the members said.
        pixels: uint8 (N, S, S), the cache.
        classes: C names of the judgement's columns.
    """
    names = [name for name in FINDINGS if name in classes]
    columns = [list(classes).index(name) for name in names]
    old, new = (table[names].to_numpy() > 0 for table in (before, after))
    margins = np.nan_to_num(judged.margins[:, columns])
    flips = []
    for direction in ("added", "removed"):
        for image, place in most_confident(old, new, margins, names, direction, ON_SHEET):
            cell = image, columns[place]
            chance, limit = float(judged.probabilities[cell]), float(judged.limits[cell])
            about = ""
            if true is not None:
                right = bool(true[names[place]].iloc[image]) == bool(new[image, place])
                about = ", right" if right else ", WRONG"
            flip = (before["image"].iloc[image], names[place], direction, chance, limit, about)
            flips.append(Flip(pixels[image], *flip))
    return flips
