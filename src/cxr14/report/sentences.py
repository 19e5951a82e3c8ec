"""The results in sentences, each computed from the tables of metrics.

The page, the terminal and the README state results in these sentences alone, so that a new run
cannot make them wrong.
"""

from collections.abc import Iterable, Sequence
from math import nan
from typing import Final, NamedTuple

import pandas as pd

from cxr14.console import (
    format_difference,
    format_interval,
    format_limit,
    format_number,
    is_missing,
    signed,
)
from cxr14.evaluation.measures import MACRO
from cxr14.localization.overlap import MEAN, POOLED
from cxr14.report.elements import Row, columns_of, first_row, rows_of, scored, spaced
from cxr14.report.localization import CONTROLS, is_flagged, pooled
from cxr14.report.subgroups import MEASURES, clearest, gaps_with_interval
from cxr14.report.summary import Results

REACHED: Final = 0.80
"""Macro AUROC of which the sentences count how many backbones reach it."""

LIMIT: Final = 0.1
"""T(IoBB) of the sentences on boxes."""

OVERLAP: Final = f"IoBB\u00a0>\u00a0{format_limit(LIMIT)}"  # at a line's start, > is Markdown
RANGE: Final = "{} ({}–{})"
PAIRED: Final = "{0} ({1} to {2})"


def sentences(results: Results) -> list[str]:
    """Return one text per result: AUROC, calibration, boxes, subgroups, what was chosen where."""
    texts = (
        ranking(results),
        floor(results),
        calibration(results),
        boxes(results),
        *controls(results),
        subgroup_gap(results),
        selection(results),
    )
    return [text for text in texts if text]


def ranking(results: Results) -> str:
    """Name the best backbone on test, its lead over the second, and how many reach REACHED."""
    rows = {name: _mean(results, name, "macro_auroc") for name in results.backbones}
    known = {name: row for name, row in rows.items() if row and not is_missing(row["value"])}
    if not known:
        return "No backbone has an AUROC on test."
    order = sorted(known, key=lambda name: -known[name]["value"])
    text = f"{order[0]} has the highest AUROC on test, {_interval(known[order[0]])}"
    text += _lead(results, *order[:2]) if len(order) > 1 else ""
    reached = [row for row in known.values() if row["value"] >= REACHED]
    surely = sum(row["low"] >= REACHED for row in reached if not is_missing(row["low"]))
    verb = "reach" if len(reached) > 1 else "reaches"
    text += f". {_share(len(reached), len(known))} {verb} {format_number(REACHED, 2)}"
    text += f", {surely} with the whole interval." if reached else "."
    return f"{text} {results.best} is the best on validation."


def _share(count: int, total: int) -> str:
    return f"{count or 'None'} of {total} backbone{'' if total == 1 else 's'}"


def _lead(results: Results, first: str, second: str) -> str:
    """Return the paired difference of two backbones and whether it is significant."""
    table = results.tables["differences"]
    for sign, pair in ((1, (first, second)), (-1, (second, first))):
        key = dict(zip(("model_a", "model_b"), pair, strict=True)) | {"measure": "macro_auroc"}
        if row := first_row(table, key):
            low, high = sorted(sign * row[end] for end in ("low", "high"))
            gap = _difference(sign * row["difference"], low, high)
            return f". Its lead over {second} is {gap}, {_verdict(low, high)}"
    return ""


def _verdict(low: float, high: float) -> str:
    if is_missing(low) or is_missing(high):
        return "without an interval"
    return f"which is {'' if low > 0 or high < 0 else 'not '}significant"


def floor(results: Results) -> str | None:
    """Return what methods without a network reach, as far as it was measured."""
    test = results.baseline["test"]
    known = {
        "logistic regression on 16×16 thumbnails has an AUROC of": "thumbnails_macro_auroc",
        "calling every image positive has an F1 of": "macro_f1_always_yes",
    }
    parts = [f"{words} {format_number(test[key])}" for words, key in known.items() if key in test]
    return f"For comparison: {'; '.join(parts)}." if parts else None


def calibration(results: Results) -> str | None:
    """Compare the calibration error of the chosen backbone with that of a calibrated one."""
    stages = {"with Platt scaling": "macro_ece_platt", "as trained": "macro_ece"}
    rows = {when: _mean(results, results.best, name) for when, name in stages.items()}
    parts = [
        f"{_interval(row)} {when}{_beside_chance(row)}"
        for when, row in rows.items()
        if row and not is_missing(row["value"])
    ]
    if not parts:
        return None
    text = f"The calibration error (ECE) of {results.best} is {' and '.join(parts)}."
    return f"{text} Chance is the ECE of a calibrated network." if "chance" in text else text


def _beside_chance(row: Row) -> str:
    """Compare an ECE with its chance level; nothing if means.csv has none."""
    chance, low = row.get("chance", nan), row["low"]
    if is_missing(chance):
        return ""
    if is_missing(low):
        return f" (chance {format_number(chance)})"
    adverb = "significantly" if low > chance else "not significantly"
    return f" ({adverb} above chance, {format_number(chance)})"


def boxes(results: Results) -> str | None:
    """Return hits and false boxes of the chosen backbone, and the number of pairs."""
    table = pooled(results.of("accuracy"))
    table = table[(table["measure"] == "iobb") & (table["overlap_threshold"] == LIMIT)]
    row = first_row(table, {"finding": MEAN})
    if not row or is_missing(row["accuracy"]):
        return None
    pairs = [round(n) for n in table.loc[table["finding"] != MEAN, "n_pairs"] if n > 0]
    heats = [str(heat) for heat in results.of("accuracy")["heat_threshold"].unique()]
    listed = " and ".join(heat for heat in heats if heat != POOLED)
    few, many = min(pairs), max(pairs)
    by_finding = f"{few} per finding" if few == many else f"{few} to {many} per finding"
    return (
        f"At {OVERLAP} {results.best} hits {scored(row, 'accuracy', RANGE)} of "
        f"{sum(pairs)} pairs of image and finding ({by_finding}, mean over findings) with "
        f"{format_number(row['afp'], 2)} false boxes per pair; boxes at heat {listed} are pooled."
    )


def flagged(results: Results) -> str:
    """Name the backbones whose heatmaps stay alike when all weights are random."""
    names = [name for name in results.backbones if is_flagged(results, name)]
    share = _share(len(names), len(results.backbones))
    listed = f": {', '.join(names)}" if names else ""
    return f"Flagged, as the heatmaps stay alike with all weights random: {share}{listed}."


def flag(results: Results) -> str | None:
    """Warn if the heatmaps of the chosen backbone are flagged by the sanity check."""
    if not is_flagged(results, results.best):
        return None
    return (
        f"The sanity check flags the heatmaps of {results.best}, the chosen backbone: they are "
        "like those of random weights, so they show in part the image and not what was learnt."
    )


class Lead(NamedTuple):
    """Difference of a backbone from the control that it leads least."""

    backbone: str
    control: str
    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        gap = _difference(self.difference, self.low, self.high)
        return f"{self.backbone} {gap} over the {self.control}"


def controls(results: Results) -> list[str]:
    """Say which backbones beat all controls at IoBB > LIMIT, and in the pointing game."""
    overlap, pointing = {}, {}
    for name in results.backbones:
        rows = pooled(results.of("controls", name))
        at = (rows["measure"] == "iobb") & (rows["overlap_threshold"] == LIMIT)
        overlap[name] = _leads(name, rows[at], "difference")
        pointing[name] = _leads(name, results.of("pointing", name), "pointing_difference")
    texts = (
        _beaten(f"at {OVERLAP}", overlap.values()),
        _beaten("in the pointing game", pointing.values()),
    )
    return [text for text in texts if text]


def _leads(backbone: str, rows: pd.DataFrame, column: str) -> list[Lead]:
    """Return the differences from each control; none if the table has no differences."""
    if column not in rows:
        return []
    means = rows[(rows["finding"] == MEAN) & rows[column].notna()]
    values = [[float(row[name]) for name in columns_of(column)] for row in rows_of(means)]
    names = [CONTROLS.get(name, spaced(name)) for name in means["method"]]
    return [Lead(backbone, name, *ends) for name, ends in zip(names, values, strict=True)]


def _beaten(where: str, leads: Iterable[Sequence[Lead]]) -> str | None:
    """Name the backbones whose smallest lead over a control is significant."""
    known = [group for group in leads if group]
    if not known:
        return None
    smallest = [min(group, key=_low) for group in known]
    ahead = [lead for lead in smallest if _low(lead) > 0]
    names = ", ".join(dict.fromkeys(lead.control for group in known for lead in group))
    subject = f"{_share(len(ahead), len(known))} {'are' if len(ahead) > 1 else 'is'}"
    text = f"{subject} significantly ahead of every image-blind control {where} ({names}; "
    text += f"{sum(map(len, known))} paired comparisons, uncorrected)."
    if ahead:
        return f"{text} Smallest leads: {'; '.join(map(str, ahead))}."
    return f"{text} The nearest: {max(smallest, key=_low)}."


def _low(lead: Lead) -> float:
    """Return the lower end of a lead; −∞ without an interval."""
    return float("-inf") if is_missing(lead.low) else lead.low


def subgroup_gap(results: Results) -> str | None:
    """Return the gap between subgroups of the chosen backbone whose interval is furthest from 0."""
    gaps = gaps_with_interval(results.of("gaps"))
    if not gaps:
        return None
    reliable = clearest(gaps)
    text = (
        f"Of {len(gaps)} gaps between subgroups of {results.best}, {len(reliable)} have an "
        f"interval that excludes 0 (about {round(0.05 * len(gaps))} would by chance)"
    )
    if not reliable:
        return f"{text}."
    row, measure, _ = reliable[0]
    finding = "mean over findings" if row["finding"] == MACRO else spaced(row["finding"])
    value, low, high = (row[column] for column in columns_of(measure))
    gap = _difference(value, low, high)
    groups = f"{row['attribute']} {row['group']} against {row['reference']}"
    return (
        f"{text}; the clearest, by its interval: {MEASURES[measure]}, {finding}, {groups}: {gap}."
    )


CHOSEN: Final = "Epochs, thresholds and calibration are chosen on validation."


def selection(results: Results) -> str:
    """Return what was chosen on validation, and what test may have influenced."""
    if results.source.phantom:
        return (
            f"{CHOSEN} The default settings were compared on phantoms of the test split "
            "(docs/lab-notes/training.md, docs/lab-notes/heatmaps.md), which favours them."
        )
    return f"{CHOSEN} Whether settings were compared on test before this run is not recorded."


def _mean(results: Results, backbone: str, name: str) -> Row:
    """Return a row of means.csv; an empty row if there is none."""
    return first_row(results.of("means", backbone), {"mean": name})


def _interval(row: Row) -> str:
    return format_interval(row["value"], row["low"], row["high"], RANGE)


def _difference(value: float, low: float, high: float) -> str:
    """Format a difference with its interval; without an interval the difference alone."""
    if is_missing(low) or is_missing(high):
        return signed(value)
    return format_difference(value, low, high, PAIRED)
