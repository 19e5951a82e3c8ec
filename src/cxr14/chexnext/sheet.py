"""A sheet of the most confident flips, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.explore.drawing import BLUE, GREY, INK, ORANGE, STYLE, WIDTH, shown, titled
from cxr14.files import replacing
from cxr14.wording import PHANTOM_NOTE
from cxr14.wording import shown as share

COLUMNS, DPI = 6, 150
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
        own[start : start + COLUMNS]
        for own in ([flip for flip in flips if flip.direction == name] for name in COLOURS)
        for start in range(0, len(own), COLUMNS)
    ]
    with style.context(["default", STYLE]), replacing(path) as temporary:
        figure = _figure(rows, phantom)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _figure(rows: Sequence[Sequence[Flip]], phantom: bool) -> Figure:
    side = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS
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
            _draw(figure.add_axes(box), flip)
    return figure


def _draw(axes: Axes, flip: Flip) -> None:
    axes.imshow(flip.pixels, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set(color=COLOURS[flip.direction], linewidth=2)
    sign = "+" if flip.direction == "added" else "−"
    mark = f"{sign} {shown(flip.finding)}"
    numbers = f"p {share(flip.probability, 2)}, from {share(flip.threshold, 2)}"
    name = flip.image.removesuffix(".png")
    lines = ((mark, 9, INK, 25), (numbers + flip.remark, 7, GREY, 15), (name, 7, GREY, 5))
    for text, size, colour, above in lines:
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 1), (0, above), fontsize=size, color=colour, **offset)
