"""Curves of all backbones in small panels, one per finding."""

from io import BytesIO
from typing import Any, Final, NamedTuple

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.comparison.names import MACRO
from cxr14.findings import CLASSES
from cxr14.report import markup
from cxr14.report.cells import count, one, spaced
from cxr14.report.classification import noted
from cxr14.report.markup import Section
from cxr14.report.results import Results
from cxr14.wording import PHANTOM_NOTE

# Okabe and Ito (2008), which colour-blind readers tell apart, as in the picture of groups.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#222222")
DASHES: Final = ("-", "--", ":")
ACROSS, DPI = 4, 120
STYLE: Final[dict[str, Any]] = {"font.size": 7, "axes.linewidth": 0.6, "text.parse_math": False}


class Kind(NamedTuple):
    """What a picture of curves shows."""

    title: str
    x: str
    y: str
    diagonal: bool


KINDS: Final = {
    "roc": Kind("ROC", "false_positive_rate", "true_positive_rate", diagonal=True),
    "pr": Kind("Precision and recall", "recall", "precision", diagonal=False),
    "reliability": Kind("Reliability, Platt scaled", "predicted", "observed", diagonal=True),
}


def curve_section(results: Results) -> Section:
    """ROC, precision-recall and reliability, the backbones in one panel per finding."""
    how = (
        "ROC: the further above the diagonal, the better; precision and recall: the further right "
        "and up, and the dashed line is the prevalence. Reliability: on the diagonal a probability "
        "means what it says; below it the model is too sure."
    )
    n = (
        "n: positives of the finding. All findings: the mean of their curves; of reliability all "
        "answers together."
    )
    parts = [
        markup.drawn(
            draw(results, name),
            f"{kind.title} by finding",
            noted(results, f"{kind.title} on test; {n}"),
        )
        for name, kind in KINDS.items()
    ]
    return Section("curves", "Curves", how, tuple(parts))


def draw(results: Results, name: str) -> bytes:
    """Return a PNG of one kind of curves; equal results give equal bytes."""
    table = results.curves[name]
    known = set(table["finding"])
    findings = [finding for finding in (MACRO, *CLASSES) if finding in known]
    down = max(1, -(-len(findings) // ACROSS))
    height = 1.75 * down + (1.1 if results.phantom else 0.9)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(8.6, height), dpi=DPI)
        top = 1 - (0.6 if results.phantom else 0.4) / height
        edges = {"left": 0.035, "right": 0.99, "bottom": 0.5 / height, "top": top}
        figure.subplots_adjust(**edges, wspace=0.22, hspace=0.32)
        panels = figure.subplots(down, ACROSS, squeeze=False).ravel()
        for axes, finding in zip(panels, findings, strict=False):
            _panel(axes, results, table[table["finding"] == finding], name, finding)
        for axes in panels[len(findings) :]:
            axes.set_axis_off()
        _frame(figure, results, KINDS[name], panels[0])
        png = BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _panel(axes: Axes, results: Results, rows: pd.DataFrame, name: str, finding: str) -> None:
    kind = KINDS[name]
    row = one(results.of("findings"), {"finding": finding})
    if kind.diagonal:
        axes.plot([0, 1], [0, 1], color="#b0b0b0", linewidth=0.6)
    elif row:
        axes.axhline(float(row["prevalence"]), color="#808080", linewidth=0.6, linestyle="--")
    for place, backbone in enumerate(results.backbones):
        own = rows[rows["backbone"] == backbone]
        axes.plot(
            own[kind.x],
            own[kind.y],
            color=COLOURS[place % len(COLOURS)],
            linestyle=DASHES[place // len(COLOURS) % len(DASHES)],
            linewidth=0.9,
            marker="." if name == "reliability" else "",
            markersize=3,
            label=backbone,
        )
    images = results.evaluate[results.best]["images"]
    n = f"{images:,} images" if finding == MACRO else count(row.get("positives"))
    title = "all findings" if finding == MACRO else spaced(finding)
    axes.set_title(f"{title}, n {n}", fontsize=7.5, pad=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.tick_params(length=2, width=0.5, pad=1.5)


def _frame(figure: Figure, results: Results, kind: Kind, first: Axes) -> None:
    title = f"{kind.title}: {spaced(kind.y)} by {spaced(kind.x)}"
    figure.suptitle(f"{title}\n{PHANTOM_NOTE}" if results.phantom else title, fontsize=8.5, y=0.995)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=8, fontsize=7.5, frameon=False)
