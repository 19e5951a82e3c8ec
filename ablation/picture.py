"""Forest plot of the ablation: differences, intervals, lowest and highest seed."""

from collections.abc import Sequence
from itertools import cycle, product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.differences import MEASURES
from ablation.outcome import GROUPS
from ablation.plan import ARMS, REFERENCE
from ablation.show import KNOWN
from cxr14.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, titled

MARKERS = ("o", "s", "D", "^", "v", "P")  # backbones differ in colour and marker
SEEDS_BELOW = 0.37  # of the distance between two backbones: on the line they would look like caps
BAND = 0.7  # of the distance between two arms, taken by the backbones of one


def forest(table: pd.DataFrame, title: str, subtitle: str) -> Figure:
    """Draw by backbone and arm a mark, a line (95 % interval), and two open marks (seeds)."""
    backbones = list(dict.fromkeys(table["backbone"]))
    arms = [str(arm) for arm in ARMS if arm != REFERENCE]
    row_inches = len(arms) * (0.14 + 0.17 * len(backbones))
    height = 2.45 + len(GROUPS) * row_inches
    figure = titled(title, subtitle, height)
    grid = figure.subplots(len(GROUPS), len(MEASURES), sharex=True, sharey=True, squeeze=False)
    box = (0.9 / WIDTH, 0.9 / height, 0.985, 1 - 1.1 / height)  # left, bottom, right, top
    figure.subplots_adjust(*box, wspace=0.08, hspace=0.45 / row_inches)
    for (row, group), (column, measure) in product(enumerate(GROUPS), enumerate(MEASURES)):
        rows = table[(table["group"] == group) & (table["measure"] == measure)]
        _panel(grid[row, column], rows, arms, backbones)
        grid[row, column].set_title(f"{measure}, {KNOWN[group]}", fontsize=10, color=INK)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    across = f"difference from {REFERENCE} (right of 0 is better)"
    figure.text(0.5, 0.48 / height, across, fontsize=9.5, ha="center", va="center")
    figure.legend(handles, labels, loc="lower center", ncols=len(backbones), frameon=False)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, arms: Sequence[str], backbones: Sequence[str]) -> None:
    """Draw one measure over one group, grouped by arm."""
    axes.axvline(0, color=GREY, linewidth=1)
    looks = zip(backbones, cycle(PALETTE), cycle(MARKERS), strict=False)
    for n, (backbone, colour, marker) in enumerate(looks):
        arm_rows = table[table["backbone"] == backbone].set_index("arm").loc[list(arms)]
        shift = (n - (len(backbones) - 1) / 2) * BAND / len(backbones)
        positions = [position + shift for position in range(len(arms))]
        axes.hlines(positions, arm_rows["low"], arm_rows["high"], color=colour, linewidth=1.6)
        axes.plot(
            arm_rows["difference"], positions, marker, color=colour, markersize=5.5, label=backbone
        )
        below = [position + SEEDS_BELOW * BAND / len(backbones) for position in positions]
        for end in ("seed_low", "seed_high"):
            axes.plot(arm_rows[end], below, marker, color=colour, markersize=3.5, fillstyle="none")
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.tick_params(length=0, labelsize=9)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
