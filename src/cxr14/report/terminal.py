"""Terminal tables of the stages of both pipelines."""

from textwrap import fill
from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from cxr14.chexnext.label_changes import ALL
from cxr14.console import (
    MISSING,
    format_difference,
    format_number,
)
from cxr14.datasets.records import Source
from cxr14.evaluation.evaluate import Scores
from cxr14.evaluation.measures import CALIBRATION, MACRO
from cxr14.evaluation.subgroups import CROSSED
from cxr14.labels import NO_FINDING
from cxr14.metrics.bootstrap import ENDS
from cxr14.report.elements import (
    Row,
    beside_chance,
    columns_of,
    count,
    distinct,
    first_row,
    rows_of,
    scored,
    text,
)
from cxr14.report.published import auroc_header, auroc_rows, split_summary, subset_note
from cxr14.report.sentences import sentences
from cxr14.report.summary import TTA_LEGEND, Results, legend, ordered, sample, tta_remark


def plain_table(title: str, *headings: str, left: int = 1, **options: Any) -> Table:
    """Return a table without rows; the first ``left`` columns hold text, the others numbers."""
    style: dict[str, Any] = {"box": SIMPLE, "pad_edge": False, "collapse_padding": True}
    table = Table(title=title, **style | options)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
    return table


# Scores by finding.

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
WITH_INTERVALS: Final = ("auroc", "average_precision", "f1")
WITH_CHANCE: Final = ("ece", "ece_platt")
MEANS: Final = ("macro", "weighted", "micro")
MEAN_VALUES: Final = ("value", "low", "high", "chance")


def findings_table(backbone: str, scores: Scores, source: Source, note: str = "") -> Table:
    """Lay out the scores of the findings, their means, and No Finding.

    Args:
        backbone: name of the network.
        scores: on the test images; a null is a dash, and the caption gives its reason.
        source: of the images.
        note: last line of the caption.
    """
    head = scores.headline
    title = f"{backbone} on {head['images']} test images of {head['patients']} patients"
    table = plain_table(source.label(title), "finding", *HEADINGS.values(), padding=0)
    lines = [_headline(head), *_beside_tta(scores), *_reasons(scores), *filter(None, [note])]
    table.caption = "\n".join(lines)
    rows = rows_of(scores.findings)
    for row in (row for row in rows if row["finding"] != NO_FINDING):
        table.add_row(row["finding"], *_cells(row))
    table.add_section()
    for mean in MEANS:
        table.add_row(f"{mean} mean", *_cells(_mean(scores.means, mean)))
    for row in (row for row in rows if row["finding"] == NO_FINDING):
        table.add_section()
        table.add_row(row["finding"], *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    """Format one row in the order of HEADINGS; measures that a mean lacks stay empty."""
    cells = []
    for measure in HEADINGS:
        if measure in WITH_INTERVALS:
            cells.append(scored(row, measure, "{} ({}–{})"))
        elif measure in WITH_CHANCE and measure in row:
            cells.append(beside_chance(row, measure, "{}/{}"))
        elif measure not in row:
            cells.append("")
        else:
            cells.append((count if measure == "positives" else format_number)(row[measure]))
    return cells


def _mean(means: pd.DataFrame, kind: str) -> Row:
    """Return one kind of mean as a row of findings: measure, measure_low, measure_high."""
    row: Row = {}
    for record in rows_of(means[means["mean"].str.startswith(f"{kind}_")]):
        measure = record["mean"].removeprefix(f"{kind}_")
        columns = (*columns_of(measure), f"{measure}_chance")
        row |= {c: record[k] for c, k in zip(columns, MEAN_VALUES, strict=True)}
    return row


def _headline(head: dict[str, Any]) -> str:
    return (
        "in brackets 95 % intervals, patients resampled; F1 at the threshold and Platt scaling "
        f"chosen on validation (its macro AUROC {format_number(head['validation_macro_auroc'])})\n"
        f"means over {head['findings_scored']} findings, from F1 on {head['findings_with_f1']}; "
        "ECE as trained and after Platt scaling, /: of a perfectly calibrated network"
    )


def _beside_tta(scores: Scores) -> list[str]:
    """Return the means without test-time augmentation, if there is any."""
    numbers = {
        f"{row['mean']}{end}": row[column]
        for row in rows_of(scores.means)
        for end, column in zip(ENDS, ("value", "low", "high"), strict=True)
    }
    remark = tta_remark(numbers)
    return [f"{TTA_LEGEND}:", remark] if remark else []


def _reasons(scores: Scores) -> list[str]:
    """Return the reasons why a score is null or has no interval."""
    reasons = {row["finding"]: text(row["reason"]) for row in rows_of(scores.findings)}
    macro = first_row(scores.means, {"mean": "macro_auroc"})
    reasons["macro mean"] = text(macro["reason"])
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


# Comparison.

LARGEST: Final = 3
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
    "macro_f1": "F1",
    "mean_accuracy_iobb_t10": "boxes > .1",
    "mean_pointing": "pointing",
}
PAIRED: Final = ["difference", "low", "high"]
REVISION_LEGEND: Final = (
    "boxes > .1: share of boxed pairs hit at IoBB > .1 by a box of any heat threshold; pointing: "
    "hottest pixel in a box"
)
STAR: Final = "* the interval excludes 0; not corrected for multiple comparisons"


def differences(table: pd.DataFrame, source: Source) -> Table:
    """Lay out the table of differences, a row per pair of networks."""
    measures = distinct(table, "measure")
    n = [f", {row['images']:,} images of {row['patients']:,} patients" for row in rows_of(table)]
    heading = f"Differences on test{n[0] if n else ''}, the same patients resampled"
    laid_out = _comparison(heading, source, "first − second", *(WORDS[name] for name in measures))
    for (one, other), rows in table.groupby(["model_a", "model_b"], sort=False):
        values = rows.set_index("measure").loc[measures, PAIRED]
        ends = values.to_numpy(float)  # a column of nulls has dtype object
        laid_out.add_row(f"{one} − {other}", *(format_difference(*cell) for cell in ends))
    return laid_out


def largest_gaps(table: pd.DataFrame, source: Source) -> Table:
    """Lay out the largest gaps of each measure, from gaps.csv.

    Gaps are sorted by the end of the interval that is nearer to 0, so that small groups do not lead
    by chance. Crossed attributes are excluded.
    """
    headings = "measure", "network", "group", "images", "group − others"
    laid_out = _comparison("Largest gaps between groups on test", source, *headings)
    single = table[~table["attribute"].str.contains(CROSSED)]
    for measure, finding in GAP_MEASURES:
        name = f"{WORDS[measure]}, {'mean' if finding == MACRO else finding}"
        ends = columns_of(measure)
        gaps = single[single["finding"] == finding].dropna(subset=ends)
        nearer = pd.concat([gaps[ends[1]], -gaps[ends[2]]], axis=1).max(axis=1)
        order = nearer.sort_values(ascending=False, kind="stable").index[:LARGEST]
        for row in rows_of(gaps.loc[order]):
            group = f"{row['attribute']} {row['group']} − {row['reference']}"
            counts = f"{row['images']:,}, {row['images_reference']:,}"
            gap = format_difference(*(row[end] for end in ends))
            laid_out.add_row(name, row["backbone"], group, counts, gap)
        laid_out.add_section()
    return laid_out


def revision_table(table: pd.DataFrame, revision: str, notes: list[str], source: Source) -> Table:
    """Lay out the differences from another run, a row per network and measure."""
    heading = f"The work tree compared with {revision}, the same patients resampled"
    laid_out = _comparison(heading, source, "network", "measure", "here", revision, "difference")
    for row in rows_of(table):
        scores = format_number(row["here"]), format_number(row["there"])
        gap = format_difference(*(row[name] for name in PAIRED))
        laid_out.add_row(row["backbone"], WORDS[row["measure"]], *scores, gap)
    reasons = dict.fromkeys(text(reason) for reason in table["reason"])
    laid_out.caption = "\n".join([*notes, *filter(None, reasons), REVISION_LEGEND, STAR])
    return laid_out


def _comparison(heading: str, source: Source, *columns: str) -> Table:
    title = source.label(heading)
    width = max(len(title), len(STAR))  # avoids line breaks
    return plain_table(title, *columns, left=len(columns), caption=STAR, min_width=width)


# Summary of all networks.

MEASURES: Final = {
    "test_macro_auroc": "AUROC",
    "test_macro_average_precision": "AP",
    "test_macro_f1": "F1",
    "test_no_finding_auroc": "No\nFinding",
    "boxes_mean_accuracy_iobb_t10": "boxes\n> .1",
    "boxes_mean_accuracy_iobb_t50": "boxes\n> .5",
}
FALSE_BOXES: Final = "boxes_mean_false_boxes_iobb_t10"
HEADER: Final = ("model", *MEASURES.values(), "false\nboxes")


def summary_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the columns of HEADER by model, in the order of :func:`ordered`."""
    return [
        (
            name,
            *(scored(numbers, measure) for measure in MEASURES),
            format_number(numbers.get(FALSE_BOXES), 2),
        )
        for name, numbers in ordered(results)
    ]


def summary_table(results: Results, caution: str) -> Table:
    """Lay out the headline metrics by model.

    Intervals are below their scores, so that the table fits eighty columns.
    """
    title = f"Test split, mean over findings ({sample(results)}). {caution}"
    table = plain_table(title, *HEADER, caption=legend(results), padding=0)
    for row in summary_rows(results):
        table.add_row(*row)
    return table


def sentence_list(results: Results) -> str:
    """Return the results in sentences, one bullet each, in lines of at most 80 columns."""
    return "\n".join(
        fill(text, 80, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for text in sentences(results)
    )


def published_table(results: Results) -> Table | None:
    """Lay out AUROC by finding with the published columns; None on phantoms."""
    if results.source.phantom:
        return None
    title = f"AUROC by finding; ours is {results.best}, the best by validation; n: positives"
    caption = f"Published means are over the same findings. {subset_note(results)}".strip()
    table = plain_table(title, "finding", caption=caption, padding=0)
    _, _, _, *published = auroc_header(results)
    table.add_column(f"ours\n{split_summary(results)}", justify="right", width=9)
    for name in published:  # only DenseNet121 is longer
        table.add_column(name, justify="right", width=8, overflow="fold")
    *findings, mean = auroc_rows(results)
    for name, positives, *scores in findings:
        table.add_row("\n".join([*name.split(), f"n {positives}"]), *scores)
    table.add_section()
    table.add_row(mean[0], *mean[2:])
    return table


# The CheXNeXt pipeline.

NOISE: Final = {"positives": "truly", "missed": "missed", "wrong": "wrong", "labels": "labels"}
CHANGES: Final = {
    "positives_before": "before",
    "positives_after": "after",
    "added": "added",
    "removed": "removed",
}
REPAIRED: Final = {
    "added_precision": "right",
    "added_recall": "found",
    "removed_precision": "right",
    "removed_recall": "found",
    "noise_repaired": "repaired",
}


def noise_table(counts: pd.DataFrame, source: Source) -> Table:
    """Lay out the counts of label noise in train and val (``label_noise.count_noise``)."""
    title = source.label("Label noise, as in mined labels")
    table = plain_table(title, "finding", "images", *NOISE.values())
    summed = counts.groupby("finding", sort=False)[["images", *NOISE]].sum()
    for finding, row in summed.iterrows():
        table.add_row(str(finding), *map(count, row))
    return table


def selection_table(outcome: dict[str, Any], source: Source) -> Table:
    """Lay out chexnext/selection/selection.json."""
    title = f"Members on validation, mean {outcome['measure']} over the findings"
    table = plain_table(source.label(title), "member", "fold", "score", "chosen")
    for name, member in outcome["members"].items():
        fold = MISSING if outcome["folds"] == 1 else str(member["fold"])
        table.add_row(name, fold, format_number(member["score"]), "yes" if member["chosen"] else "")
    table.caption = (
        f"the chosen averaged: {format_number(outcome['score'])}; "
        f"all: {format_number(outcome['score_of_all'])} "
        f"({outcome['subsets']} subsets, {outcome['search']})"
    )
    return table


def label_changes_summary(changes: pd.DataFrame, split: str, mode: str, source: Source) -> Table:
    """Lay out the label changes of a split; on phantoms with precision and recall."""
    rates = REPAIRED if source.phantom else {}
    title = source.label(f"Relabelling of {split}, {mode}")
    table = plain_table(title, "finding", *CHANGES.values(), *rates.values())
    for row in rows_of(changes[changes["split"] == split]):
        if row["finding"] == ALL:
            table.add_section()
        cells = [*(count(row[name]) for name in CHANGES), *(format_number(row[n]) for n in rates)]
        table.add_row(row["finding"], *cells)
    if source.phantom:
        table.caption = "right: precision; found: recall among the missed, the wrong labels"
    return table
