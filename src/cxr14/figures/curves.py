"""ROC, precision-recall and reliability curves: a panel per finding, a line per network."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.datasets.records import Source
from cxr14.evaluation.measures import MACRO
from cxr14.figures.style import PALETTE, png_of
from cxr14.labels import CLASSES

DASHES: Final = ("-", "--", ":")
ACROSS, DPI = 4, 120
STYLE: Final[dict[str, Any]] = {"font.size": 7, "axes.linewidth": 0.6, "text.parse_math": False}


class Kind(NamedTuple):
    """A kind of curve: title, columns of both axes, whether to draw the diagonal."""

    title: str
    x: str
    y: str
    diagonal: bool


KINDS: Final = {
    "roc": Kind("ROC", "false_positive_rate", "true_positive_rate", diagonal=True),
    "pr": Kind("Precision and recall", "recall", "precision", diagonal=False),
    "reliability": Kind("Reliability, Platt scaled", "predicted", "observed", diagonal=True),
}


def draw_curves(
    name: str, curves: pd.DataFrame, findings: pd.DataFrame, images: int, source: Source
) -> bytes:
    """Return a PNG of one kind of curve; equal arguments give equal bytes.

    Args:
        name: key of KINDS.
        curves: points by backbone and finding, in the columns of the kind.
        findings: with the columns finding, positives, prevalence.
        images: number of test images.
        source: of the images.
    """
    arguments = KINDS[name], curves, findings, images, source
    return png_of(_figure, *arguments, dpi=DPI, settings=STYLE)


def _figure(
    kind: Kind, curves: pd.DataFrame, findings: pd.DataFrame, images: int, source: Source
) -> Figure:
    known = set(curves["finding"])
    names = [name for name in (MACRO, *CLASSES) if name in known]
    backbones = list(dict.fromkeys(curves["backbone"]))
    rows_of = {row["finding"]: row for row in findings.to_dict("records")}
    down = max(1, -(-len(names) // ACROSS))
    height = 1.75 * down + (1.1 if source.phantom else 0.9)
    figure = Figure(figsize=(8.6, height), dpi=DPI)
    top = 1 - (0.6 if source.phantom else 0.4) / height
    edges = {"left": 0.035, "right": 0.99, "bottom": 0.5 / height, "top": top}
    figure.subplots_adjust(**edges, wspace=0.22, hspace=0.32)
    panels = figure.subplots(down, ACROSS, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        row = rows_of.get(name, {})
        _panel(axes, kind, curves[curves["finding"] == name], backbones, row)
        n = f"{images:,} images" if name == MACRO else f"{row['positives']:,.0f}" if row else "–"
        title = "all findings" if name == MACRO else name.replace("_", " ")
        axes.set_title(f"{title}, n {n}", fontsize=7.5, pad=3)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    title = f"{kind.title}: {kind.y} by {kind.x}".replace("_", " ")
    figure.suptitle(source.label(title, "{}\n{}"), fontsize=8.5, y=0.995)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=8, fontsize=7.5, frameon=False)
    return figure


def _panel(
    axes: Axes, kind: Kind, curves: pd.DataFrame, backbones: list[str], row: Mapping[Any, Any]
) -> None:
    """Draw the curves of one finding, and its diagonal or its prevalence."""
    if kind.diagonal:
        axes.plot([0, 1], [0, 1], color="#b0b0b0", linewidth=0.6)
    elif row:
        axes.axhline(float(row["prevalence"]), color="#808080", linewidth=0.6, linestyle="--")
    for index, backbone in enumerate(backbones):
        points = curves[curves["backbone"] == backbone]
        axes.plot(
            points[kind.x],
            points[kind.y],
            color=PALETTE[index % len(PALETTE)],
            linestyle=DASHES[index // len(PALETTE) % len(DASHES)],
            linewidth=0.9,
            marker="." if kind.x == "predicted" else "",
            markersize=3,
            label=backbone,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.tick_params(length=2, width=0.5, pad=1.5)
