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

# Measures of a network on the test split and on bootstrap resamples of its patients.


THRESHOLD_FREE = ("auroc", "average_precision")
THRESHOLDED = ("f1", "precision", "recall", "specificity")
BRIER = ("brier", "brier_platt", "brier_temperature")
ECE = ("ece", "ece_platt", "ece_temperature")
MEASURES = (*THRESHOLD_FREE, *THRESHOLDED, *BRIER, *ECE)

Measured = dict[str, Floats]


@dataclass(frozen=True)
class LabelledPredictions:
    """Labels and predictions of N images, with the decision from validation.

    Attributes:
        classes: C names of the columns.
        labels: (N, C) of 0 and 1.
        logits: (N, C), used for ranking: probabilities near 1 round to equal float32.
        probabilities: (N, C), compared with the thresholds.
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
    """Measures of all images (row 0) and of R resamples (the rows below).

    Attributes:
        by_class: measure to (1 + R, C), NaN where a resample cannot be scored.
        pooled: measure to (1 + R,), over all entries of the findings; neither Brier scores nor ECE.
        positives: (1 + R, C), weighted counts.
    """

    by_class: Measured
    pooled: Measured
    positives: Floats


def resampled(
    predictions: LabelledPredictions,
    patients: Array,
    generator: np.random.Generator,
    resamples: int,
) -> Resampled:
    """Score a network on its images, and on the same resamples for every measure.

    A class that a resample leaves without positives or without negatives is NaN in every measure.

    Args:
        predictions: of N images.
        patients: (N,).
        generator: source of random numbers.
        resamples: number R; 0 with fewer than two patients.
    """
    draws = resamples if len(np.unique(patients)) > 1 else 0
    by_class, pooled, positives = zip(
        *_blocks(predictions, patients, generator, draws), strict=True
    )
    return Resampled(_concatenated(by_class), _concatenated(pooled), np.concatenate(positives))


def _blocks(
    predictions: LabelledPredictions,
    patients: Array,
    generator: np.random.Generator,
    resamples: int,
) -> Iterator[tuple[Measured, Measured, Floats]]:
    """Yield by_class, pooled and positives for each block of weightings."""
    findings, labels = predictions.findings(), predictions.labels
    rankings = [
        sort_scores(labels[:, i], predictions.logits[:, i]) for i in range(len(predictions.classes))
    ]
    pooled_ranking = sort_scores(labels[:, findings], predictions.logits[:, findings])
    forecasts = predictions.forecasts()
    squares = {f"brier{name}": (values - (labels > 0)) ** 2 for name, values in forecasts.items()}
    thresholds = predictions.thresholds()
    called, decided = predictions.probabilities >= thresholds, ~np.isnan(thresholds)
    for weights in map(as_fortran, weightings(patients, generator, resamples)):
        calls = weighted_confusion_counts(labels, called, weights)
        known = (calls.positives > 0) & (calls.positives < calls.images)
        decisions = calls.measures()
        by_class = {
            **_areas(rankings, weights),
            **{name: np.where(decided, decisions[name], np.nan) for name in THRESHOLDED},
            **{name: _means(values, weights, known) for name, values in squares.items()},
            **{
                f"ece{n}": _errors(labels, values, weights, known)
                for n, values in forecasts.items()
            },
        }
        micro = calls.pooled(findings & decided).measures()
        pooled = {
            **{name: values[:, 0] for name, values in _areas([pooled_ranking], weights).items()},
            **{name: micro[name][:, 0] for name in THRESHOLDED},
        }
        yield by_class, pooled, calls.positives


def _areas(rankings: Sequence[SortedScores], weights: Floats) -> Measured:
    """AUROC and average precision of C rankings under R weightings, (R, C) each."""
    areas = [ranking.auroc_and_ap(weights) for ranking in rankings]
    return {
        name: np.stack([pair[i] for pair in areas], axis=1)
        if areas
        else np.zeros((len(weights), 0))
        for i, name in enumerate(THRESHOLD_FREE)
    }


def _means(values: Floats, weights: Floats, known: Array) -> Floats:
    """Weighted means of (N, C) under (R, N), where known (R, C), else NaN."""
    images = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return np.where(known, weights @ values / images, np.nan)


def _errors(labels: Array, forecast: Floats, weights: Floats, known: Array) -> Floats:
    """Calibration errors of (N, C) under (R, N), where known (R, C), else NaN; NaN stays NaN."""
    columns = zip(labels.T, forecast.T, strict=True)
    errors = [weighted_calibration_errors(*column, weights) for column in columns]
    return np.where(known, np.stack(errors, axis=1), np.nan) if errors else known.astype(float)


def _concatenated(blocks: Sequence[Measured]) -> Measured:
    """Concatenate the resamples of all blocks."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


FINDING_COLUMNS = [
    *("finding", "images", "positives", "negatives", "prevalence", "threshold"),
    *(f"{name}{end}" for name in MEASURES for end in ENDS),
    *("auroc_delong_low", "auroc_delong_high", "left_out", "reason"),
]

Row = dict[str, Any]


def finding_rows(
    predictions: LabelledPredictions, patients: Array, scores: Resampled
) -> pd.DataFrame:
    """Lay out one row per class, in the order of the classes.

    Args:
        predictions: of the N test images, in the order of their names.
        patients: (N,).
        scores: of the same images.

    Returns:
        The columns FINDING_COLUMNS; null where a measure cannot be computed, see ``reason``.
    """
    single = first_per_patient(patients)
    rows = []
    for column, name in enumerate(predictions.classes):
        labels = predictions.labels[:, column]
        ends = delong_interval(labels[single], predictions.logits[single, column])
        by_measure = {measure: values[:, column] for measure, values in scores.by_class.items()}
        left_out = interval(by_measure["auroc"][1:])[2] if len(scores.positives) > 1 else None
        row: Row = {
            **_counts(name, labels),
            "threshold": predictions.decision["thresholds"][name],
            **_interval_columns(by_measure),
            "auroc_delong_low": ends[0],
            "auroc_delong_high": ends[1],
            "left_out": left_out,
        }
        row["reason"] = "; ".join(_reasons(row, predictions, labels, labels[single])) or None
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


def _interval_columns(by_measure: dict[str, Floats]) -> Row:
    """Return every measure of one class with its interval."""
    row: Row = {}
    for measure in MEASURES:
        values = by_measure[measure]
        resampled_values = bias_corrected(values) if measure in ECE else values[1:]
        row[measure] = float(values[0])
        row[f"{measure}_low"], row[f"{measure}_high"], _ = interval(resampled_values)
    return row


def _reasons(
    row: Row, predictions: LabelledPredictions, labels: Array, single_labels: Array
) -> list[str]:
    """Return why values in a row are null."""
    reason = unscorable_reason(labels, "test")
    if reason:
        return [reason]
    reasons = [predictions.decision["reasons"].get(row["finding"])]
    left_out, positives = row["left_out"], int((single_labels > 0).sum())
    negatives = len(single_labels) - positives
    if left_out is None:
        reasons.append("all images are of one patient: nothing to resample")
    elif left_out > MAX_DROPPED_SHARE:
        reasons.append(f"no intervals: {100 * left_out:.1f} % of resamples hold one class only")
    if row["threshold"] is not None and np.isnan(row["precision"]):
        reasons.append("no precision: nothing is called")
    elif row["precision_low"] is None and row["recall_low"] is not None:
        reasons.append("no interval of precision: too many resamples in which nothing is called")
    if min(positives, negatives) < MIN_PER_CLASS:
        kept = f"{positives} positive and {negatives} negative images"
        reasons.append(f"no DeLong interval: one image per patient leaves {kept}")
    elif row["auroc_delong_low"] is None:
        reasons.append("no DeLong interval: its variance is 0")
    return [text for text in reasons if text]


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
        counted_values, shares = values[:, counted], scores.positives[:, counted]
        means = {
            "macro": _weighted_mean(counted_values, np.ones_like(shares)),
            "micro": scores.pooled.get(measure),
            "weighted": _weighted_mean(counted_values, shares),
        }
        pooled = findings & (decided if measure in THRESHOLDED else True)
        rows += [
            _row(
                f"{kind}_{measure}",
                mean_values,
                int((pooled if kind == "micro" else counted).sum()),
            )
            for kind, mean_values in means.items()
            if mean_values is not None
        ]
    numbers = dict.fromkeys(("value", "low", "high", "left_out"), np.float64)
    return pd.DataFrame(rows, columns=MEAN_COLUMNS).astype(numbers)


def _weighted_mean(values: Floats, shares: Floats) -> Floats:
    """Mean of (R, F) by (R, F) shares: (R,), NaN where any value is, or where there is none."""
    totals = shares.sum(axis=1)
    return np.where(totals > 0, (values * shares).sum(axis=1) / np.maximum(totals, 1), np.nan)


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
