"""Style of the figures: 1,200 pixels wide, a title, a subtitle, no frames.

Colours are of Okabe and Ito (2008), safe for colour-blind readers.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.io import replacing, write_csv

WIDTH, DPI = 8.0, 150  # inches, pixels an inch
BLUE, PALE_BLUE, ORANGE = "#0072B2", "#8FBFDD", "#E69F00"
INK, GREY, FAINT = "#222222", "#6E6E6E", "#E4E4E4"
STYLE: dict[str, Any] = {"font.size": 10, "text.color": INK, "text.parse_math": False}


def export(
    stem: str | Path, table: pd.DataFrame, draw: Callable[..., Figure], *arguments: Any
) -> None:
    """Write a table as `stem`.csv, and the figure ``draw(table, *arguments)`` as `stem`.png.

    The PNG has no date or software name: equal tables give equal bytes. The style starts from
    matplotlib's defaults, so that user settings have no effect.
    """
    write_csv(f"{stem}.csv", table)
    with style.context(["default", STYLE]), replacing(f"{stem}.png") as temporary:
        figure = draw(table, *arguments)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def display_name(name: str) -> str:
    """Return a finding as written in a figure: ``Pleural thickening``."""
    return name.replace("_T", " t")


def titled(title: str, subtitle: str, height: float) -> Figure:
    """Return a figure of that height (inches) with title and subtitle."""
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    figure.text(0.015, 1 - 0.28 / height, title, fontsize=14, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.57 / height, subtitle, fontsize=9.5, color=GREY, va="center")
    return figure


def page(
    title: str,
    subtitle: str,
    height: float,
    left: float = 1.55,
    right: float = 0.3,
    bottom: float = 0.15,
) -> tuple[Figure, Axes]:
    """Return a figure with one frameless plot, without an x axis; all sizes in inches."""
    figure = titled(title, subtitle, height)
    box = (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + 0.85) / height)
    axes = figure.add_axes(box)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    axes.xaxis.set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def rows(axes: Axes, names: Iterable[str]) -> None:
    """Label the rows of a horizontal plot, the first on top."""
    labels = [display_name(name) for name in names]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def beside(axes: Axes, row: int, text: str) -> None:
    """Write a text to the right of a row."""
    transform = axes.get_yaxis_transform()
    axes.text(1.02, row, text, va="center_baseline", color=GREY, fontsize=9, transform=transform)
