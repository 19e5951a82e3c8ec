"""Terminal tables of the report stages of both pipelines."""

from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from cxr14.chexnext.label_changes import ALL
from cxr14.console import format_number
from cxr14.datasets.records import Source
from cxr14.report.html import scored
from cxr14.report.published import auroc_header, auroc_rows, split_summary, subset_note
from cxr14.report.summary import Results

BASELINE: Final = "baseline"
MEASURES: Final = {
    "test_macro_auroc": "AUROC",
    "test_macro_average_precision": "AP",
    "test_macro_f1": "F1",
    "test_no_finding_auroc": "No\nFinding",
    "boxes_mean_accuracy_iobb_t10": "boxes\n> .1",
    "boxes_mean_accuracy_iobb_t50": "boxes\n> .5",
}
PLAIN: Final[dict[str, Any]] = {"box": SIMPLE, "pad_edge": False, "padding": (0, 0, 0, 1)}
HEADER: Final = ("model", *MEASURES.values())
LEGEND: Final = (
    "AUROC, average precision (AP) and F1 are means over the findings, with 95 % intervals by "
    "patient; No Finding is its AUROC; boxes: share of boxed findings hit at that IoBB."
)


def headlines(results: Results) -> dict[str, dict[str, Any]]:
    """Return headline metrics with intervals by model; the baseline is last."""
    networks = {
        name: {
            **{f"test_{key}": value for key, value in results.evaluate[name].items()},
            **{f"boxes_{key}": value for key, value in results.localize[name].items()},
        }
        for name in results.backbones
    }
    return networks | {BASELINE: {f"test_{key}": v for key, v in results.baseline["test"].items()}}


def ordered(results: Results) -> list[tuple[str, dict[str, Any]]]:
    """Return the headlines sorted by test macro AUROC, highest first; the baseline is last."""

    def sort_key(item: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
        name, numbers = item
        return name == BASELINE, -(numbers.get("test_macro_auroc") or 0)

    return sorted(headlines(results).items(), key=sort_key)


def rows(results: Results, between: str = "\n") -> list[tuple[str, ...]]:
    """Return one row per model in the order of :func:`ordered`, with the columns of HEADER."""
    return [
        (name, *(scored(numbers, measure, between) for measure in MEASURES))
        for name, numbers in ordered(results)
    ]


def legend(results: Results) -> str:
    """Return the legend of the columns, with the number of findings per mean if it differs."""
    counts = {
        name: numbers["test_findings_scored"]
        for name, numbers in headlines(results).items()
        if "test_findings_scored" in numbers
    }
    if len(set(counts.values())) < 2:
        return LEGEND
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{LEGEND} Not over the same number of findings: {listed}."


def sample(results: Results) -> str:
    """Return the numbers of test images, their patients, and boxed images."""
    numbers = results.evaluate[results.best]
    counts = (boxes["boxed_images"] for boxes in results.localize.values())
    boxed = next(count for count in counts if count is not None)  # not every row is localised
    images, patients = numbers["images"], numbers["patients"]
    return f"n: {images:,} images of {patients:,} patients, {boxed:,} boxed images"


def table(results: Results, caution: str) -> Table:
    """Lay out the headline metrics by model."""
    laid_out = Table(
        title=f"Test part, mean over findings ({sample(results)}). {caution}",
        caption=legend(results),
        **PLAIN,
    )
    for column, name in enumerate(HEADER):
        # Intervals are below their scores, so that the table fits eighty columns.
        laid_out.add_column(name, justify="right" if column else "left", no_wrap=True)
    for row in rows(results):
        laid_out.add_row(*row)
    return laid_out


def published_table(results: Results) -> Table | None:
    """Lay out AUROC by finding with the published columns; None on phantoms."""
    if results.source.phantom:
        return None
    laid_out = Table(
        title=f"AUROC by finding; ours is {results.best}, the best by validation; n: positives",
        caption=f"Published means are over the same findings. {subset_note(results)}".strip(),
        **PLAIN | {"padding": 0},
    )
    _, _, _, *published = auroc_header(results)
    laid_out.add_column("finding")
    laid_out.add_column(f"ours\n{split_summary(results)}", justify="right", width=9)
    for name in published:  # only DenseNet121 is longer
        laid_out.add_column(name, justify="right", width=8, overflow="fold")
    *findings, mean = auroc_rows(results)
    for name, positives, *scores in findings:
        laid_out.add_row("\n".join([*name.split(), f"n {positives}"]), *scores)
    laid_out.add_section()
    laid_out.add_row(mean[0], *mean[2:])
    return laid_out


# Tables of the CheXNeXt pipeline.

Columns = dict[str, str]

WIDTH = 124  # a redirected `dvc repro` has 80


def print_tables(*tables: Table) -> None:
    """Print tables, wide enough for their columns."""
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(*tables)


def noise_table(counts: pd.DataFrame, source: Source) -> Table:
    """Lay out the counts of label noise in train and val (``label_noise.count_noise``)."""
    table = _table("Labels made wrong, as mined labels are", source, "images", *_NOISE.values())
    summed = counts.groupby("finding", sort=False)[["images", *_NOISE]].sum()
    for finding, row in summed.iterrows():
        table.add_row(str(finding), *(str(value) for value in row))
    return table


_NOISE: Columns = {"positives": "truly", "missed": "missed", "wrong": "wrong", "labels": "labels"}


def selection_table(outcome: dict[str, Any], source: Source) -> Table:
    """Lay out chexnext/selection/selection.json."""
    title = f"Members on validation, mean {outcome['measure']} over the findings"
    table = _table(title, source, "fold", "score", "chosen", first="member")
    for name, member in outcome["members"].items():
        fold = "–" if outcome["folds"] == 1 else str(member["fold"])
        table.add_row(name, fold, format_number(member["score"]), "yes" if member["chosen"] else "")
    table.caption = (
        f"the chosen averaged: {format_number(outcome['score'])}; "
        f"all: {format_number(outcome['score_of_all'])} "
        f"({outcome['subsets']} subsets, {outcome['search']})"
    )
    return table


def label_changes_summary(table: pd.DataFrame, split: str, mode: str, source: Source) -> Table:
    """Lay out the label changes of a split; on phantoms with precision and recall."""
    title = f"Relabelling of {split}, {mode}"
    laid_out = _table(
        title, source, *_CHANGES.values(), *(_REPAIRED.values() if source.phantom else ())
    )
    changes = table[table["part"] == split].astype(object)
    for row in changes.where(changes.notna(), None).to_dict(orient="records"):
        if row["finding"] == ALL:
            laid_out.add_section()
        counts = [str(row["positives_before"]), str(row["positives_after"])]
        counts += [str(row["added"]), str(row["removed"])]
        rates = [_signed(row[name]) for name in _REPAIRED] if source.phantom else []
        laid_out.add_row(row["finding"], *counts, *rates)
    if source.phantom:
        laid_out.caption = "right: precision; found: recall among the missed, the wrong labels"
    return laid_out


_CHANGES: Columns = {"a": "before", "b": "after", "c": "added", "d": "removed"}
_REPAIRED: Columns = {
    "added_precision": "right",
    "added_recall": "found",
    "removed_precision": "right",
    "removed_recall": "found",
    "noise_repaired": "repaired",
}


def _signed(value: float | None) -> str:
    return f"−{format_number(-value)}" if value is not None and value < 0 else format_number(value)


def _table(title: str, source: Source, *headings: str, first: str = "finding") -> Table:
    full_title = source.label(title)
    table = Table(title=full_title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
