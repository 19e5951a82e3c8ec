"""Tables of patient subgroups: macro scores, gaps, clearest gaps."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from cxr14.console import is_missing
from cxr14.evaluation.measures import CALIBRATION, MACRO
from cxr14.evaluation.subgroups import CROSSED
from cxr14.report.elements import (
    Details,
    Part,
    Row,
    Table,
    columns_of,
    count,
    difference,
    first_row,
    rows_of,
    scored,
    spaced,
    text,
)
from cxr14.report.summary import Results

MEASURES: Final = {
    "auroc": "AUROC",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
    CALIBRATION: "predicted − prevalence",
}
COUNTED: Final = ("images\npatients", "images, patients\nof the others")
MOST_GAPS: Final = 12
"""Rows of the table of the clearest gaps."""

REFERENCE: Final = "reference"


class Gap(NamedTuple):
    """One measure of one row of gaps.csv.

    ``sure`` is the end of the interval nearest 0; it is positive if the interval excludes 0.
    """

    row: Row
    measure: str
    sure: float


def subgroup_tables(results: Results) -> list[Part]:
    """Return the clearest gaps, macro gaps and the scores by group as collapsed blocks."""
    tables = {
        f"clearest gaps of {results.best}": clearest_table(results),
        f"gaps of {results.best}, mean over findings": gap_table(results),
        f"scores of {results.best} by group": group_table(results),
    }
    return [Details(f"Table: {title}", (table,)) for title, table in tables.items()]


def gap_table(results: Results) -> Table:
    """Lay out the macro gaps of single attributes."""
    rows = single(results.of("gaps"))
    header = ("group", "reference", *COUNTED, "findings\nof both", *MEASURES.values(), "remark")
    body = [
        (
            _group_name(row),
            text(row["reference"]),
            *_counted(row),
            count(row["findings"]),
            *(difference(row, *columns_of(measure)) for measure in MEASURES),
            text(row["reason"]),
        )
        for row in rows_of(rows)
    ]
    caption = (
        f"{results.best}, test split, means over the findings that can be scored on both sides. "
        "* marks a 95 % interval that excludes 0; there is none where a score is the same in every "
        "resample. Predicted − prevalence: mean Platt-scaled probability minus the share of "
        "positives."
    )
    columns = ["", "text", *[""] * (len(header) - 3), "remark"]
    return Table(header, body, results.source.label(caption), column_classes=columns)


def clearest_table(results: Results) -> Table:
    """Lay out the gaps over all groups and findings whose intervals are the furthest from 0."""
    gaps = gaps_with_interval(results.of("gaps"))
    reliable = clearest(gaps)
    header = ("group", "reference", "finding", "measure", "gap", *COUNTED)
    body = [
        (
            _group_name(gap.row),
            text(gap.row["reference"]),
            spaced(text(gap.row["finding"])),
            MEASURES[gap.measure],
            difference(gap.row, *columns_of(gap.measure)),
            *_counted(gap.row),
        )
        for gap in reliable[:MOST_GAPS]
    ]
    caption = (
        f"{results.best}: of the {len(gaps)} gaps with an interval in metrics/compare/gaps.csv "
        f"{len(reliable)} exclude 0 (5 of 100 do by chance), ordered by the end of "
        f"the interval nearest 0; at most {MOST_GAPS} are listed."
    )
    columns = ["", "text", "text", "text"]
    return Table(header, body, results.source.label(caption), column_classes=columns)


def clearest(gaps: list[Gap]) -> list[Gap]:
    """Return the gaps whose interval excludes 0, sorted by ``sure``, highest first.

    Sorting by size alone would put the smallest groups first.
    """
    return sorted((gap for gap in gaps if gap.sure > 0), key=lambda gap: -gap.sure)


def gaps_with_interval(gaps: pd.DataFrame) -> list[Gap]:
    """Return every measure of every row of gaps.csv that has an interval."""
    intervals = []
    for row in rows_of(gaps):
        for measure in MEASURES:
            value, low, high = (row[column] for column in columns_of(measure))
            if not any(map(is_missing, (value, low, high))):
                intervals.append(Gap(row, measure, max(low, -high)))
    return intervals


def group_table(results: Results) -> Table:
    """Lay out the macro scores of single attributes."""
    rows = single(results.of("subgroups"))
    header = ("group", "images", "patients", "findings", *MEASURES.values(), "remark")
    body = [
        (
            _group_name(row),
            count(row["images"]),
            count(row["patients"]),
            count(row["findings"]),
            *(scored(row, measure) for measure in list(MEASURES)[:-1]),
            difference(row, *columns_of(CALIBRATION)),
            text(row["reason"]),
        )
        for row in rows_of(rows)
    ]
    caption = (
        f"{results.best}, test split, means over the findings with a score in the group: those "
        "over few findings are not comparable with those over all, the gaps above are."
    )
    columns = [""] * (len(header) - 1) + ["remark"]
    return Table(header, body, results.source.label(caption), column_classes=columns)


def single(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the macro rows of groups by a single attribute."""
    crossed = rows["attribute"].str.contains(CROSSED)
    return rows[(rows["finding"] == MACRO) & ~crossed]


def with_reference(groups: pd.DataFrame, gaps: pd.DataFrame) -> Iterator[tuple[Row, Row | str]]:
    """Yield each group with its row of gaps.csv, or a text where it has none.

    The text is REFERENCE for a group that another one is compared with, and empty for all images.

    Args:
        groups: macro rows of subgroups.csv of a backbone, see :func:`single`.
        gaps: those of gaps.csv.
    """
    references = set(zip(gaps["attribute"], gaps["reference"], strict=True))
    for row in rows_of(groups):
        key = {name: row[name] for name in ("attribute", "group")}
        without = REFERENCE if tuple(key.values()) in references else ""
        yield row, first_row(gaps, key) or without


def _group_name(row: Row) -> str:
    return f"{row['group']}\n{row['attribute']}"


def _counted(row: Row) -> tuple[str, str]:
    group, others = (
        f"{count(row[f'images{end}'])}\n{count(row[f'patients{end}'])}"
        for end in ("", "_reference")
    )
    return group, others
