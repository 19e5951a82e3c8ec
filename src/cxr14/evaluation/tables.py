"""metrics/evaluate/B/findings.csv: every measure of every class, with intervals and reasons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxr14.labels import NO_FINDING
from cxr14.metrics.auroc import MIN_PER_CLASS, Array, Floats, delong_interval, first_per_patient
from cxr14.metrics.bootstrap import (
    ENDS,
    MAX_DROPPED_SHARE,
    SortedScores,
    as_fortran,
    bias_corrected,
    interval,
    sort_scores,
    weighted_confusion_counts,
    weightings,
)
from cxr14.metrics.calibration import (
    platt_probabilities,
    temperature_probabilities,
    unscorable_reason,
    weighted_calibration_errors,
)

# A network's measures on the test part and on every resample of its patients.


RANKED = ("auroc", "average_precision")
DECIDED = ("f1", "precision", "recall", "specificity")
FORECAST = ("brier", "brier_platt", "brier_temperature")
ECE = ("ece", "ece_platt", "ece_temperature")
MEASURES = (*RANKED, *DECIDED, *FORECAST, *ECE)

Measured = dict[str, Floats]


@dataclass(frozen=True)
class LabelledAnswers:
    """What a network says of N images, and what validation made of it.

    Attributes:
        classes: C names of the columns.
        labels: (N, C) of 0 and 1.
        logits: (N, C), used for ranking: probabilities near 1 round to equal float32.
        probabilities: (N, C), held against the thresholds.
        decision: thresholds, platt and temperature by class: evaluation/B/decision.json.
    """

    classes: Sequence[str]
    labels: Array
    logits: Array
    probabilities: Array
    decision: Mapping[str, Any]

    def thresholds(self) -> Floats:
        """Return the thresholds (C,), NaN where there is none."""
        chosen = self.decision["thresholds"]
        return np.array([chosen[name] for name in self.classes], np.float64)

    def findings(self) -> Array:
        """Return which of the C classes are findings, bool (C,)."""
        return np.array([name != NO_FINDING for name in self.classes], bool)

    def forecasts(self) -> dict[str, Floats]:
        """Return probabilities (N, C) as they are, after Platt and after temperature scaling."""
        platts, heats = self.decision["platt"], self.decision["temperature"]
        return {
            "": self.probabilities.astype(np.float64),
            "_platt": platt_probabilities(self.logits, platts, self.classes),
            "_temperature": temperature_probabilities(self.logits, heats, self.classes),
        }


@dataclass(frozen=True)
class Resampled:
    """Measures of the part itself (row 0) and of R resamples (the rows below).

    Attributes:
        by_class: measure to (1 + R, C), NaN where a resample cannot be scored.
        pooled: measure to (1 + R,), over all entries of the findings; neither Brier scores nor ECE.
        positives: (1 + R, C), weighted counts.
    """

    by_class: Measured
    pooled: Measured
    positives: Floats


def resampled(
    answers: LabelledAnswers, patients: Array, generator: np.random.Generator, resamples: int
) -> Resampled:
    """Score a network on its images, and on the same resamples for every measure.

    A class that a resample leaves without positives or without negatives is NaN in it, in every
    measure.

    Args:
        answers: of N images.
        patients: (N,).
        generator: source of the draws.
        resamples: how many, R; with fewer than two patients none is drawn.
    """
    draws = resamples if len(np.unique(patients)) > 1 else 0
    by_class, pooled, positives = zip(*_blocks(answers, patients, generator, draws), strict=True)
    return Resampled(_joined(by_class), _joined(pooled), np.concatenate(positives))


def _blocks(
    answers: LabelledAnswers, patients: Array, generator: np.random.Generator, resamples: int
) -> Iterator[tuple[Measured, Measured, Floats]]:
    """Yield by_class, pooled and positives for each block of weightings."""
    findings, labels = answers.findings(), answers.labels
    each = [sort_scores(labels[:, i], answers.logits[:, i]) for i in range(len(answers.classes))]
    together = sort_scores(labels[:, findings], answers.logits[:, findings])
    forecasts = answers.forecasts()
    squares = {f"brier{name}": (own - (labels > 0)) ** 2 for name, own in forecasts.items()}
    thresholds = answers.thresholds()
    called, decided = answers.probabilities >= thresholds, ~np.isnan(thresholds)
    for weights in map(as_fortran, weightings(patients, generator, resamples)):
        calls = weighted_confusion_counts(labels, called, weights)
        known = (calls.positives > 0) & (calls.positives < calls.images)
        decisions = calls.measures()
        by_class = {
            **_areas(each, weights),
            **{name: np.where(decided, decisions[name], np.nan) for name in DECIDED},
            **{name: _means(own, weights, known) for name, own in squares.items()},
            **{f"ece{n}": _errors(labels, own, weights, known) for n, own in forecasts.items()},
        }
        micro = calls.pooled(findings & decided).measures()
        pooled = {
            **{name: own[:, 0] for name, own in _areas([together], weights).items()},
            **{name: micro[name][:, 0] for name in DECIDED},
        }
        yield by_class, pooled, calls.positives


def _areas(rankings: Sequence[SortedScores], weights: Floats) -> Measured:
    """AUROC and average precision of C rankings under R weightings, (R, C) each."""
    areas = [ranking.auroc_and_ap(weights) for ranking in rankings]
    return {
        name: np.stack([one[i] for one in areas], axis=1) if areas else np.zeros((len(weights), 0))
        for i, name in enumerate(RANKED)
    }


def _means(values: Floats, weights: Floats, known: Array) -> Floats:
    """Weighted means of (N, C) under (R, N), where known (R, C), else NaN."""
    images = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return np.where(known, weights @ values / images, np.nan)


def _errors(labels: Array, forecast: Floats, weights: Floats, known: Array) -> Floats:
    """Calibration errors of (N, C) under (R, N), where known (R, C), else NaN; NaN stays NaN."""
    columns = zip(labels.T, forecast.T, strict=True)
    errors = [weighted_calibration_errors(*one, weights) for one in columns]
    return np.where(known, np.stack(errors, axis=1), np.nan) if errors else known.astype(float)


def _joined(blocks: Sequence[Measured]) -> Measured:
    """Put the resamples of all blocks below one another."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


FINDING_COLUMNS = [
    *("finding", "images", "positives", "negatives", "prevalence", "threshold"),
    *(f"{name}{end}" for name in MEASURES for end in ENDS),
    *("auroc_delong_low", "auroc_delong_high", "left_out", "reason"),
]

Row = dict[str, Any]


def finding_rows(answers: LabelledAnswers, patients: Array, scores: Resampled) -> pd.DataFrame:
    """Lay out one row per class, in the order of the classes.

    Args:
        answers: of the N test images, in the order of their names.
        patients: (N,).
        scores: of the same images.

    Returns:
        The columns FINDING_COLUMNS; null where a measure cannot be computed, see ``reason``.
    """
    single = first_per_patient(patients)
    rows = []
    for column, name in enumerate(answers.classes):
        labels = answers.labels[:, column]
        ends = delong_interval(labels[single], answers.logits[single, column])
        own = {measure: values[:, column] for measure, values in scores.by_class.items()}
        left_out = interval(own["auroc"][1:])[2] if len(scores.positives) > 1 else None
        row: Row = {
            **_counts(name, labels),
            "threshold": answers.decision["thresholds"][name],
            **_with_ends(own),
            "auroc_delong_low": ends[0],
            "auroc_delong_high": ends[1],
            "left_out": left_out,
        }
        row["reason"] = "; ".join(_reasons(row, answers, labels, labels[single])) or None
        rows.append(row)
    numbers = dict.fromkeys(FINDING_COLUMNS[FINDING_COLUMNS.index("prevalence") : -1], np.float64)
    return pd.DataFrame(rows, columns=FINDING_COLUMNS).astype(numbers)


def _counts(name: str, labels: Array) -> Row:
    images, positives = len(labels), int((labels > 0).sum())
    return {
        "finding": name,
        "images": images,
        "positives": positives,
        "negatives": images - positives,
        "prevalence": positives / images if images else None,
    }


def _with_ends(own: dict[str, Floats]) -> Row:
    """Return every measure of one class with its interval."""
    row: Row = {}
    for measure in MEASURES:
        values = own[measure]
        drawn = bias_corrected(values) if measure in ECE else values[1:]
        row[measure] = float(values[0])
        row[f"{measure}_low"], row[f"{measure}_high"], _ = interval(drawn)
    return row


def _reasons(row: Row, answers: LabelledAnswers, labels: Array, one_each: Array) -> list[str]:
    """Say why something in a row is null."""
    reason = unscorable_reason(labels, "test")
    if reason:
        return [reason]
    found = [answers.decision["reasons"].get(row["finding"])]
    left_out, positives = row["left_out"], int((one_each > 0).sum())
    negatives = len(one_each) - positives
    if left_out is None:
        found.append("all images are of one patient: nothing to resample")
    elif left_out > MAX_DROPPED_SHARE:
        found.append(f"no intervals: {100 * left_out:.1f} % of resamples hold one class only")
    if row["threshold"] is not None and np.isnan(row["precision"]):
        found.append("no precision: nothing is called")
    elif row["precision_low"] is None and row["recall_low"] is not None:
        found.append("no interval of precision: too many resamples in which nothing is called")
    if min(positives, negatives) < MIN_PER_CLASS:
        kept = f"{positives} positive and {negatives} negative images"
        found.append(f"no DeLong interval: one image per patient leaves {kept}")
    elif row["auroc_delong_low"] is None:
        found.append("no DeLong interval: its variance is 0")
    return [one for one in found if one]


# metrics/evaluate/B/means.csv: macro, micro and prevalence-weighted means over the findings.
#
# Macro: every finding counts the same. Weighted: as much as it is frequent. Micro: every entry
# (image, finding) counts the same, and scores of different findings are ranked against each other.
# No Finding is in none of them.


MEAN_COLUMNS = ["mean", "value", "low", "high", "findings", "left_out", "reason"]


def mean_rows(by_finding: pd.DataFrame, scores: Resampled) -> pd.DataFrame:
    """Lay out one row per kind of mean and measure, named as in metrics/evaluate/B.json.

    A mean is over the findings that the test images themselves can score (``findings``); a resample
    counts only if it can score all of them. A micro mean is over the entries of all findings (of
    decisions: those that have a threshold), also of one that test holds no positives of. Brier
    scores and ECE, before and after calibration, are over the same findings: those that validation
    could calibrate.

    Args:
        by_finding: a row per class, see :func:`cxr14.evaluation.tables.finding_rows`.
        scores: of the same classes.

    Returns:
        The columns MEAN_COLUMNS.
    """
    findings = (by_finding["finding"] != NO_FINDING).to_numpy(bool)
    decided = by_finding["threshold"].notna().to_numpy(bool)
    calibrated = by_finding["ece_platt"].notna().to_numpy(bool)
    rows = []
    for measure in MEASURES:
        values = scores.by_class[measure]
        counted = findings & ~np.isnan(values[0])
        if measure not in scores.pooled:
            counted &= calibrated
        own, shares = values[:, counted], scores.positives[:, counted]
        means = {
            "macro": _weighted_mean(own, np.ones_like(shares)),
            "micro": scores.pooled.get(measure),
            "weighted": _weighted_mean(own, shares),
        }
        pooled = findings & (decided if measure in DECIDED else True)
        rows += [
            _row(f"{kind}_{measure}", one, int((pooled if kind == "micro" else counted).sum()))
            for kind, one in means.items()
            if one is not None
        ]
    numbers = dict.fromkeys(("value", "low", "high", "left_out"), np.float64)
    return pd.DataFrame(rows, columns=MEAN_COLUMNS).astype(numbers)


def _weighted_mean(values: Floats, shares: Floats) -> Floats:
    """Mean of (R, F) by (R, F) shares: (R,), NaN where any value is, or where there is none."""
    whole = shares.sum(axis=1)
    return np.where(whole > 0, (values * shares).sum(axis=1) / np.maximum(whole, 1), np.nan)


def _row(mean: str, values: Floats, findings: int) -> dict[str, object]:
    """Lay out one mean: of the images themselves (values[0]) and of the resamples."""
    low, high, left_out = interval(bias_corrected(values) if mean.endswith(ECE) else values[1:])
    known, resamples = bool(np.isfinite(values[0])), len(values) > 1
    reason = None
    if not known:
        reason = "no finding can be scored"
    elif not resamples:
        reason = "all images are of one patient: nothing to resample"
    elif low is None:
        reason = f"no interval: {100 * left_out:.1f} % of resamples leave a finding unscored"
    return {
        "mean": mean,
        "value": float(values[0]) if known else None,
        "low": low if known else None,
        "high": high if known else None,
        "findings": findings,
        "left_out": left_out if known and resamples else None,
        "reason": reason,
    }
