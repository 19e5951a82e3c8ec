"""Figure of subgroups: a panel per measure, a row per group, a colour per network."""

from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.console import NOT_TRAINED
from cxr14.datasets.records import Source
from cxr14.evaluation.measures import CALIBRATION, MACRO
from cxr14.evaluation.subgroups import ALL, ATTRIBUTES
from cxr14.figures.style import BARE, FAINT, GREY, INK, PALETTE, WIDTH, titled, write_png
from cxr14.labels import NO_FINDING
from cxr14.metrics.bootstrap import MIN_PATIENTS

BAND: Final = 0.74  # share of a row that the networks take
PANELS: Final = (
    ("auroc", MACRO, "AUROC\nmean over findings"),
    ("fnr", MACRO, "false negative rate\nmean over findings"),
    ("fpr", NO_FINDING, "under-diagnosis: FPR\nof No Finding"),
    (CALIBRATION, NO_FINDING, "No Finding: predicted\nminus observed share"),
)
SUBTITLE: Final = (
    "Test split; 95 % intervals, patients resampled; "
    f"means over findings with positives and negatives of {MIN_PATIENTS} patients each"
)
SMALL: Final[dict[str, Any]] = {"color": GREY, "fontsize": 8, "bbox": BARE}
LEFT, BELOW, ABOVE = 1.05, 0.65, 1.35  # inches around the panels


def write_picture(path: str | Path, table: pd.DataFrame, source: Source) -> None:
    """Draw the table of subgroups as PNG; equal tables give equal bytes."""
    write_png(path, subgroups, table, source)


def subgroups(table: pd.DataFrame, source: Source) -> Figure:
    """Draw the scores of all images and of the groups of single attributes.

    Args:
        table: see ``subgroups.subgroup_tables``.
        source: of the images.
    """
    single = table[table["attribute"].isin([ALL, *ATTRIBUTES])]
    groups = single[single["finding"] == MACRO].drop_duplicates(["attribute", "group"])
    backbones = list(dict.fromkeys(single["backbone"]))
    row_inches = 0.2 + 0.1 * len(backbones)
    height = len(groups) * row_inches + ABOVE + BELOW
    figure = titled(source.label("Scores by group", "{} · {}"), SUBTITLE, height)
    axes = figure.subplots(1, len(PANELS), sharey=True)
    figure.subplots_adjust(LEFT / WIDTH, BELOW / height, 0.985, 1 - ABOVE / height, wspace=0.1)
    for panel, (measure, finding, title) in zip(axes, PANELS, strict=True):
        _panel(panel, single[single["finding"] == finding], measure, groups, backbones)
        panel.set_title(title, fontsize=9.5, color=INK)
    axes[0].set_yticks(range(len(groups)), [_name(row) for _, row in groups.iterrows()])
    axes[0].set_ylim(len(groups) - 0.5, -0.5)
    marks, labels = axes[0].get_legend_handles_labels()
    figure.legend(marks, labels, loc="lower center", ncols=len(backbones), frameon=False)
    return figure


def _panel(
    axes: Axes, table: pd.DataFrame, measure: str, groups: pd.DataFrame, backbones: list[str]
) -> None:
    """Draw one measure; grey lines separate attributes."""
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.tick_params(length=0, labelsize=8.5)
    axes.set_axisbelow(True)
    if measure == CALIBRATION:
        axes.axvline(0, color=GREY, linewidth=1)
    for position in groups["attribute"].ne(groups["attribute"].shift()).to_numpy().nonzero()[0]:
        axes.axhline(position - 0.5, color=GREY, linewidth=0.6)
    for n, (backbone, colour) in enumerate(zip(backbones, cycle(PALETTE), strict=False)):
        rows = table[table["backbone"] == backbone].set_index(["attribute", "group"])
        rows = rows.reindex(pd.MultiIndex.from_frame(groups[["attribute", "group"]]))
        shift = (n - (len(backbones) - 1) / 2) * BAND / len(backbones)
        positions = [position + shift for position in range(len(rows))]
        ends = rows[f"{measure}_low"], rows[f"{measure}_high"]
        axes.hlines(positions, *ends, color=colour, linewidth=1.4)
        axes.plot(rows[measure], positions, "o", color=colour, markersize=4, label=backbone)
    _mark_empty(axes, table, measure, groups)
    for side in axes.spines.values():
        side.set_visible(False)


def _mark_empty(axes: Axes, table: pd.DataFrame, measure: str, groups: pd.DataFrame) -> None:
    """Write the reason in rows where no network has a score."""
    across = axes.get_yaxis_transform()
    for position, (_, group) in enumerate(groups.iterrows()):
        same = (table["attribute"] == group["attribute"]) & (table["group"] == group["group"])
        if table.loc[same, measure].isna().all():
            why = _why_empty(table[same], measure)
            axes.text(0.5, position, why, va="center", ha="center", transform=across, **SMALL)


def _why_empty(rows: pd.DataFrame, measure: str) -> str:
    """Return the reason why no network has a score; counts are equal for all networks."""
    if rows.empty:
        return NOT_TRAINED
    counts = rows.iloc[0]
    if counts["finding"] == MACRO:
        few = not counts["findings"]
    elif measure == CALIBRATION:
        sides = counts["patients_with"], counts["patients_without"]
        few = min(sides) < MIN_PATIENTS or counts["patients"] < 2 * MIN_PATIENTS
    else:  # FPR
        few = counts["patients_without"] < MIN_PATIENTS
    if few:
        return "too few"
    return "not scaled" if measure == CALIBRATION else "no threshold"


def _name(row: "pd.Series[Any]") -> str:
    """Return the label of a group: name, number of images, findings in the mean."""
    group = {"F": "female", "M": "male"}.get(row["group"], row["group"])
    name = f"age {group}" if row["attribute"] == "age" else "everyone" if group == ALL else group
    return f"{name}\n{row['images']:,} images\n{row['findings']:.0f} findings"
