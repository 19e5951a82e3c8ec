"""Results on external sets: report sections, and the rows of their tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from cxr14.console import format_number
from cxr14.evaluation.measures import MACRO
from cxr14.report.elements import (
    Cells,
    Chart,
    Details,
    Part,
    Section,
    Table,
    beside_chance,
    count,
    difference,
    first_row,
    rows_of,
    scored,
    spaced,
    text,
)
from cxr14.report.summary import ExternalResults, Results

NAMES: Final = {"auroc": "AUROC", "average_precision": "AP", "f1": "F1"}
"""Compared measures, as in the column ``measure`` of gap.csv."""

GAP: Final = ("difference", "low", "high")
HOW: Final = (
    "The same networks on another set, over the findings that both label; thresholds and "
    "calibration are those of our validation. A gap is external minus ours, over the same "
    "findings; its interval resamples the patients of both sides independently, and * marks one "
    "that excludes 0. AUROC does not depend on how common a finding is. AP, F1 and ECE do, so part "
    "of their gap is the other prevalence."
)
OVERLAP: Final = "images_also_in_training"
SIDES: Final = ("ours", "external", "gap")
MEANS_HEADER: Final = (
    "model",
    *(f"{name}\n{side}" for name in NAMES.values() for side in SIDES),
    "ECE\nPlatt",
)


def overlap_note(numbers: Mapping[str, Any]) -> str:
    """Return a warning if images of the set are in our train or val split; else an empty text.

    Args:
        numbers: content of metrics/external/SET/B.json.
    """
    images = numbers[OVERLAP]
    if not images:
        return ""
    return (
        f"Warning: {images:,} images of the set are also in our train or val split (the same "
        f"files), so the scores are too high."
    )


def external_section(results: Results, name: str, chart: Chart) -> Section:
    """Return the section of one external set, with its chart."""
    external = results.external[name]
    numbers = external.numbers[results.best]
    caption = results.source.label(
        f"{name}: {count(numbers['images'])} images of {count(numbers['patients'])} patients; "
        f"means over the findings that both sides can score (for AUROC "
        f"{count(numbers['gap_findings'])} of {count(numbers['shared_findings'])} shared ones). "
        f"ECE: on the set, after Platt scaling on our validation."
    )
    note = overlap_note(numbers)
    parts: list[Part] = [note] if note else []
    means = Table(MEANS_HEADER, mean_rows(external, results.backbones), caption)
    parts += [
        chart,
        Details("Table: means of every backbone", (means,)),
        Details(f"Table: findings, {results.best}", (_findings(results, external),)),
    ]
    return Section(f"external-{name}", f"External set {name}", HOW, parts)


def mean_rows(external: ExternalResults, backbones: Sequence[str]) -> list[Cells]:
    """Return the means by backbone: of each compared measure ours, external and the gap; ECE."""
    rows = []
    for backbone in backbones:
        gaps, means = (_of(external.tables[table], backbone) for table in ("gap", "means"))
        cells = [cell for measure in NAMES for cell in gap_cells(gaps, measure, MACRO)]
        ece = first_row(means, {"mean": f"{MACRO}_ece_platt"})
        error = beside_chance({"ece": ece.get("value"), "ece_chance": ece.get("chance")}, "ece")
        rows.append((backbone, *cells, error))
    return rows


def gap_cells(gaps: pd.DataFrame, measure: str, finding: str) -> Cells:
    """Return the cells ours, external and gap of a measure."""
    row = first_row(gaps, {"measure": measure, "finding": finding})
    return scored(row, "ours"), scored(row, "external"), difference(row, *GAP)


def _of(table: pd.DataFrame, backbone: str) -> pd.DataFrame:
    return table[table["backbone"] == backbone]


def _findings(results: Results, external: ExternalResults) -> Table:
    header = (
        *("finding", "positives\nexternal", "prevalence\nours", "prevalence\nexternal"),
        *("AUROC\nours", "AUROC\nexternal", "AUROC\ngap", "F1\ngap", "remark"),
    )
    gaps = _of(external.tables["gap"], results.best)
    body = []
    for row in rows_of(_of(external.tables["findings"], results.best)):
        finding = row["finding"]
        ours = first_row(results.of("findings"), {"finding": finding})
        *_, f1 = gap_cells(gaps, "f1", finding)
        reason = first_row(gaps, {"measure": "auroc", "finding": finding}).get("reason")
        prevalences = (format_number(side.get("prevalence")) for side in (ours, row))
        cells = (*gap_cells(gaps, "auroc", finding), f1, text(reason))
        body.append((spaced(finding), count(row["positives"]), *prevalences, *cells))
    caption = results.source.label("F1 at the thresholds of our validation.")
    return Table(header, body, caption, column_classes=[""] * (len(header) - 1) + ["remark"])
