"""The picture of the outcome: differences, their intervals and seeds; rare findings above."""

from collections.abc import Sequence
from itertools import cycle, product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.differences import MEASURES
from ablation.outcome import GROUPS
from ablation.plan import ARMS, REFERENCE
from ablation.show import KNOWN
from cxr14.explore.drawing import BLUE, FAINT, GREY, INK, ORANGE, WIDTH, titled

COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito
BAND = 0.7  # of the distance between two arms, taken by the backbones of one


def forest(table: pd.DataFrame, title: str, subtitle: str) -> Figure:
    """Draw an outcome: by backbone and arm a dot, a line (95 %) and two ticks (range of seeds)."""
    backbones = list(dict.fromkeys(table["backbone"]))
    arms = [str(arm) for arm in ARMS if arm != REFERENCE]
    row_inches = len(arms) * (0.14 + 0.15 * len(backbones))
    height = 2.2 + len(GROUPS) * row_inches
    figure = titled(title, subtitle, height)
    grid = figure.subplots(len(GROUPS), len(MEASURES), sharex=True, sharey=True, squeeze=False)
    box = (0.9 / WIDTH, 0.65 / height, 0.985, 1 - 1.1 / height)  # left, bottom, right, top
    figure.subplots_adjust(*box, wspace=0.08, hspace=0.45 / row_inches)
    for (row, group), (column, measure) in product(enumerate(GROUPS), enumerate(MEASURES)):
        own = table[(table["group"] == group) & (table["measure"] == measure)]
        _panel(grid[row, column], own, arms, backbones)
        grid[row, column].set_title(f"{measure}, {KNOWN[group]}", fontsize=10, color=INK)
    named, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(named, labels, loc="lower center", ncols=len(backbones), frameon=False)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, arms: Sequence[str], backbones: Sequence[str]) -> None:
    """Draw one measure over one group; all backbones of an arm stand together."""
    axes.axvline(0, color=GREY, linewidth=1)
    for n, (backbone, colour) in enumerate(zip(backbones, cycle(COLOURS), strict=False)):
        own = table[table["backbone"] == backbone].set_index("arm").loc[list(arms)]
        shift = (n - (len(backbones) - 1) / 2) * BAND / len(backbones)
        places = [place + shift for place in range(len(arms))]
        axes.hlines(places, own["low"], own["high"], color=colour, linewidth=1.6)
        axes.plot(own["difference"], places, "o", color=colour, markersize=5, label=backbone)
        for end in ("seed_low", "seed_high"):
            axes.plot(own[end], places, "|", color=colour, markersize=8)
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.tick_params(length=0, labelsize=9)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
