"""Palette and style of the figures: 1,200 pixels wide, a title, a subtitle, no frames.

Colours are of Okabe and Ito (2008), safe for colour-blind readers.
"""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.io import write_bytes, write_csv

WIDTH, DPI = 8.0, 150  # inches, pixels an inch
BLUE, PALE_BLUE, ORANGE = "#0072B2", "#8FBFDD", "#E69F00"
INK, GREY, FAINT = "#222222", "#6E6E6E", "#E4E4E4"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", INK)  # of the networks
BARE = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # hides the grid behind a text
STYLE: dict[str, Any] = {"font.size": 10, "text.color": INK, "text.parse_math": False}


def export(
    stem: str | Path, table: pd.DataFrame, draw: Callable[..., Figure], *arguments: Any
) -> None:
    """Write a table as `stem`.csv, and the figure ``draw(table, *arguments)`` as `stem`.png."""
    write_csv(f"{stem}.csv", table)
    write_png(f"{stem}.png", draw, table, *arguments)


def write_png(path: str | Path, draw: Callable[..., Figure], *arguments: Any) -> None:
    """Write the figure ``draw(*arguments)`` as PNG, see :func:`png_of`."""
    write_bytes(path, png_of(draw, *arguments))


def png_of(
    draw: Callable[..., Figure],
    *arguments: Any,
    dpi: int = DPI,
    settings: Mapping[str, Any] = STYLE,
) -> bytes:
    """Return the figure ``draw(*arguments)`` as PNG; equal arguments give equal bytes.

    The PNG has no date or software name. The settings start from matplotlib's defaults, so that
    user settings have no effect.
    """
    content = BytesIO()
    with style.context(["default", dict(settings)]):
        draw(*arguments).savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


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
