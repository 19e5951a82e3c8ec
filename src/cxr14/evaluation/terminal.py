"""The table of findings that evaluation prints."""

from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from cxr14.evaluation.scorecard import Scores
from cxr14.findings import NO_FINDING
from cxr14.wording import PHANTOM_NOTE, shown

HEADINGS: Final = {
    "positives": "pos.",
    "auroc": "AUROC",
    "prevalence": "prev.",
    "average_precision": "AP",
    "f1": "F1",
    "precision": "prec.",
    "recall": "rec.",
    "specificity": "spec.",
    "ece": "ECE",
    "ece_platt": "Platt",
}
TABLE_WIDTH: Final = 112
WITH_INTERVALS: Final = ("auroc", "average_precision", "f1")
MEANS: Final = ("macro", "weighted", "micro")


def findings_table(backbone: str, scores: Scores, phantom: bool) -> Table:
    """Lay out the scores of every finding, of their means, and of No Finding apart.

    Args:
        backbone: name of the network.
        scores: on the test images; what is null shows as a dash, and its reason below the table.
        phantom: whether to say that the images are phantoms.
    """
    head = scores.headline
    title = f"{backbone} on {head['images']} test images of {head['patients']} patients"
    table = Table(title=title + (f" ({PHANTOM_NOTE})" if phantom else ""), box=SIMPLE)
    table.padding, table.pad_edge = (0, 0, 0, 0), False
    table.caption = "\n".join([_headline(head), *_reasons(scores)])
    table.add_column("finding", no_wrap=True)
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    rows = _records(scores.findings)
    for row in (row for row in rows if row["finding"] != NO_FINDING):
        table.add_row(row["finding"], *_cells(row))
    table.add_section()
    for mean in MEANS:
        table.add_row(f"{mean} mean", *_cells(_mean(scores.means, mean)))
    for row in (row for row in rows if row["finding"] == NO_FINDING):
        table.add_section()
        table.add_row(row["finding"], *_cells(row))
    return table


def with_interval(row: dict[str, Any], measure: str) -> str:
    """Write a score and its interval: ``.763 (.740–.787)``."""
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    ends = "" if low is None else f" ({shown(low)}–{shown(high)})"
    return shown(row.get(measure)) + ends


def _cells(row: dict[str, Any]) -> list[str]:
    """Write one row, below the headings; what a mean has no notion of stays empty."""
    cells = []
    for measure in HEADINGS:
        if measure in WITH_INTERVALS:
            cells.append(with_interval(row, measure))
        elif measure == "positives":
            cells.append(str(row.get(measure, "")))
        else:
            cells.append(shown(row[measure]) if measure in row else "")
    return cells


def _mean(means: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Return one kind of mean as a row of findings: measure, measure_low, measure_high."""
    row: dict[str, Any] = {}
    for one in _records(means[means["mean"].str.startswith(f"{kind}_")]):
        measure = one["mean"].removeprefix(f"{kind}_")
        row |= {measure: one["value"], f"{measure}_low": one["low"], f"{measure}_high": one["high"]}
    return row


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows, their empty cells as None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _headline(head: dict[str, Any]) -> str:
    return (
        "in brackets 95 % intervals, patients resampled; F1 at the threshold and Platt scaling "
        f"chosen on validation (its macro AUROC {shown(head['validation_macro_auroc'])})\n"
        f"means over {head['findings_scored']} findings, from F1 on {head['findings_with_f1']}; "
        "a calibrated network has some ECE by chance (docs/evaluation.md)"
    )


def _reasons(scores: Scores) -> list[str]:
    """Say below the table why something in it is a dash, or has no interval."""
    told = {row["mean"]: row["reason"] for row in _records(scores.means)}
    found = {row["finding"]: row["reason"] for row in _records(scores.findings)}
    found["macro mean"] = told["macro_auroc"]
    return [f"{name}: {reason}" for name, reason in found.items() if reason]
