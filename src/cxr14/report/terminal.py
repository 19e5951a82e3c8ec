"""Terminal tables of evaluation, localization and comparison."""

from typing import Any, Final

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from cxr14.console import (
    format_count,
    format_number,
    signed,
    star,
)
from cxr14.datasets.records import Source
from cxr14.evaluation.evaluate import Scores
from cxr14.evaluation.measures import CALIBRATION, MACRO
from cxr14.evaluation.subgroups import CROSSED
from cxr14.labels import NO_FINDING
from cxr14.localization.boxes import MEAN, POOLED
from cxr14.metrics.bootstrap import ENDS

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


def findings_table(backbone: str, scores: Scores, source: Source) -> Table:
    """Lay out the scores of the findings, their means, and No Finding.

    Args:
        backbone: name of the network.
        scores: on the test images; a null is a dash, and the caption gives its reason.
        source: of the images.
    """
    head = scores.headline
    title = f"{backbone} on {head['images']} test images of {head['patients']} patients"
    table = Table(title=source.label(title), box=SIMPLE)
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
    """Format a score and its interval: ``.763 (.740–.787)``."""
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    ends = "" if low is None else f" ({format_number(low)}–{format_number(high)})"
    return format_number(row.get(measure)) + ends


def _cells(row: dict[str, Any]) -> list[str]:
    """Format one row in the order of HEADINGS; measures that a mean lacks stay empty."""
    cells = []
    for measure in HEADINGS:
        if measure in WITH_INTERVALS:
            cells.append(with_interval(row, measure))
        elif measure == "positives":
            cells.append(str(row.get(measure, "")))
        else:
            cells.append(format_number(row[measure]) if measure in row else "")
    return cells


def _mean(means: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Return one kind of mean as a row of findings: measure, measure_low, measure_high."""
    row: dict[str, Any] = {}
    for record in _records(means[means["mean"].str.startswith(f"{kind}_")]):
        measure = record["mean"].removeprefix(f"{kind}_")
        row |= {
            measure: record["value"],
            f"{measure}_low": record["low"],
            f"{measure}_high": record["high"],
        }
    return row


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries, with None for NaN."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _headline(head: dict[str, Any]) -> str:
    return (
        "in brackets 95 % intervals, patients resampled; F1 at the threshold and Platt scaling "
        f"chosen on validation (its macro AUROC {format_number(head['validation_macro_auroc'])})\n"
        f"means over {head['findings_scored']} findings, from F1 on {head['findings_with_f1']}; "
        "a calibrated network has some ECE by chance (docs/explanation/metrics.md)"
    )


def _reasons(scores: Scores) -> list[str]:
    """Return the reasons why a score is null or has no interval."""
    reasons_of_means = {row["mean"]: row["reason"] for row in _records(scores.means)}
    reasons = {row["finding"]: row["reason"] for row in _records(scores.findings)}
    reasons["macro mean"] = reasons_of_means["macro_auroc"]
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


# Tables of localization.

IN_SHORT = [("iobb", 0.1), ("iobb", 0.5), ("iou", 0.1)]
"""Measures and limits of the table of controls, as far as they were scored."""


def localization_tables(title: str, tables: dict[str, pd.DataFrame], source: Source) -> list[Table]:
    """Lay out the tables of the stage; ``title`` names the network, the method and n."""
    accuracies = [
        accuracy_table(title, tables["accuracy"], name, source) for name in ("iobb", "iou")
    ]
    return [*accuracies, controls_table(f"{title}, beside controls", tables, source)]


def accuracy_table(title: str, accuracy: pd.DataFrame, measure: str, source: Source) -> Table:
    """Lay out accuracy by finding and T, pooled over heat thresholds, and the AFP.

    Args:
        title: of the table.
        accuracy: accuracy.csv.
        measure: iobb or iou.
        source: of the images.
    """
    pooled = accuracy[(accuracy["measure"] == measure) & (accuracy["heat"] == POOLED)]
    rates = pooled.pivot(index="finding", columns="limit", values="accuracy")
    limits = sorted(set(pooled["limit"]))
    names = [_limit(limit) for limit in limits]
    first = pooled[pooled["limit"] == limits[0]].set_index("finding")
    table = _box_table(f"{title}, {measure}", source, "finding", ["n", *names, "AFP"])
    table.caption = f"columns: T; AFP: false boxes an image at T {names[0]}"
    for name, row in first.iterrows():
        if name == MEAN:
            table.add_section()
        n = None if pd.isna(row["n"]) else int(row["n"])
        shares = [_cell(rates.loc[name, limit]) for limit in limits]
        table.add_row(str(name), format_count(n), *shares, _cell(row["afp"], 2))
    return table


def controls_table(title: str, tables: dict[str, pd.DataFrame], source: Source) -> Table:
    """Lay out the means over findings of the method and the control baselines, with intervals.

    The caption counts the method's maps without heat, and gives the similarity of the sanity check
    (all weights random); it flags a method whose maps do not change.

    Args:
        title: of the table.
        tables: controls, pointing and randomisation, by name.
        source: of the images.
    """
    controls, pointing = tables["controls"], tables["pointing"]
    means = controls[(controls["finding"] == MEAN) & (controls["heat"] == POOLED)]
    scored = set(zip(means["measure"], means["limit"], strict=True))
    limits = [limit for limit in IN_SHORT if limit in scored]
    names = [f"{measure} {_limit(limit)}" for measure, limit in limits]
    table = _box_table(title, source, "heat from", [*names, "pointing", "energy"])
    for method in pointing["method"].unique():
        accuracy = means[means["method"] == method].set_index(["measure", "limit"])
        spot = pointing[(pointing["method"] == method) & (pointing["finding"] == MEAN)].iloc[0]
        cells = [_with_interval(accuracy.loc[limit], "accuracy") for limit in limits]
        scores = [_with_interval(spot, score) for score in ("pointing", "energy")]
        table.add_row(method, *cells, *scores, end_section=True)
    first_method = pointing[pointing["method"] == pointing["method"].iloc[0]]
    table.caption = f"{_without_heat(first_method)}\n{_sanity_check(tables['randomisation'])}"
    return table


def _without_heat(pointing: pd.DataFrame) -> str:
    *findings, (_, empty, pairs) = zip(
        pointing["finding"], pointing["empty"], pointing["n"], strict=True
    )
    where = ", ".join(
        f"{name} {count}" for name, count, _ in findings if not pd.isna(count) and count
    )
    return f"no heat in {empty} of {pairs} maps" + (f": {where}" if where else "")


def _sanity_check(table: pd.DataFrame) -> str:
    last = table.iloc[-1]
    if pd.isna(last["similarity"]):
        return f"all weights random: {last['reason']}"
    similarity = f"{last['similarity']:.2f}, absolute {last['absolute']:.2f}"
    text = f"all weights random: similarity {similarity}, over {last['n']} maps"
    if last["unchanged"]:
        return f"[bold red]{text}: these maps do not depend on what was learnt[/]"
    return f"{text} (above {last['limit']:g} it would be flagged)"


def _box_table(title: str, source: Source, first: str, others: list[str]) -> Table:
    table = Table(box=SIMPLE, title=source.label(title))
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _limit(limit: float) -> str:
    return f"{limit:g}".removeprefix("0")


def _cell(value: float, digits: int = 3) -> str:
    return format_number(None if pd.isna(value) else float(value), digits)


def _with_interval(row: "pd.Series[float]", score: str) -> str:
    """Format a score with its interval below, so that the table fits a terminal."""
    value, low, high = (_cell(row[score + end]) for end in ENDS)
    return value if low == _cell(np.nan) else f"{value}\n{low}–{high}"


# Tables of the comparison.

LARGEST: Final = 3
GAPS_WIDTH: Final = 112  # columns; a narrower table of gaps would cut intervals
GAP_MEASURES: Final = (
    ("auroc", MACRO),
    ("fpr", NO_FINDING),
    ("fnr", MACRO),
    (CALIBRATION, NO_FINDING),
)
WORDS: Final = {
    "auroc": "AUROC",
    "fpr": "FPR",
    "fnr": "FNR",
    CALIBRATION: "predicted − observed",
    "macro_auroc": "AUROC",
    "macro_average_precision": "AP",
}
STAR: Final = "* the interval leaves 0 out; nothing is corrected for how many intervals there are"


def ranged(value: float, low: float, high: float) -> str:
    """Format a difference and its interval, with a star if the interval leaves 0 out."""
    return f"{signed(value)} ({signed(low)} to {signed(high)}){star(low, high)}"


def differences(table: pd.DataFrame, source: Source) -> Table:
    """Lay out the table of differences, a row per pair of networks."""
    measures = list(dict.fromkeys(table["measure"]))
    n = [f"{row['images']:,} images of {row['patients']:,} patients" for _, row in table.iterrows()]
    heading = f"Differences on test{f', {n[0]}' if n else ''}, the same patients resampled"
    laid_out = _comparison_table(
        heading, source, "first − second", *(WORDS[name] for name in measures)
    )
    for (one, other), rows in table.groupby(["first", "second"], sort=False):
        cells = rows.set_index("measure").loc[measures, ["difference", "low", "high"]]
        ends = cells.to_numpy(float)  # a column of nulls has dtype object
        laid_out.add_row(f"{one} − {other}", *(ranged(*cell) for cell in ends))
    return laid_out


def largest_gaps(table: pd.DataFrame, source: Source) -> Table:
    """Lay out the largest gaps of each measure, from gaps.csv.

    Gaps are sorted by the end of the interval that is nearer to 0, so that small groups do not lead
    by chance. Crossed attributes are left out.
    """
    headings = "measure", "network", "group", "images", "group − others"
    laid_out = _comparison_table("Largest gaps between groups on test", source, *headings)
    single = table[~table["attribute"].str.contains(CROSSED)]
    for measure, finding in GAP_MEASURES:
        name = f"{WORDS[measure]}, {'mean' if finding == MACRO else finding}"
        ends = [f"{measure}{end}" for end in ENDS]
        gaps = single[single["finding"] == finding].dropna(subset=ends)
        nearer = pd.concat([gaps[ends[1]], -gaps[ends[2]]], axis=1).max(axis=1)
        order = nearer.sort_values(ascending=False, kind="stable").index[:LARGEST]
        for _, row in gaps.loc[order].iterrows():
            group = f"{row['attribute']} {row['group']} − {row['against']}"
            counts = f"{row['images']:,}, {row['images_against']:,}"
            laid_out.add_row(name, row["backbone"], group, counts, ranged(*row[ends]))
        laid_out.add_section()
    return laid_out


def revision_table(table: pd.DataFrame, revision: str, notes: list[str], source: Source) -> Table:
    """Lay out the differences from a revision, a row per network and measure."""
    heading = f"The work tree beside {revision}, the same patients resampled"
    laid_out = _comparison_table(
        heading, source, "network", "measure", "here", revision, "difference"
    )
    for _, row in table.iterrows():
        scores = (format_number(None if pd.isna(row[n]) else row[n]) for n in ("here", "there"))
        cells: Any = row[["difference", "low", "high"]].to_numpy(float)
        laid_out.add_row(row["backbone"], WORDS[row["measure"]], *scores, ranged(*cells))
    laid_out.caption = "\n".join([*notes, STAR])
    return laid_out


def _comparison_table(heading: str, source: Source, *columns: str) -> Table:
    title = source.label(heading)
    laid_out = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True, caption=STAR)
    laid_out.min_width = max(len(title), len(STAR))  # avoids line breaks
    for name in columns:
        laid_out.add_column(name, no_wrap=True)
    return laid_out
