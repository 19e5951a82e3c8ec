"""findings.csv and means.csv: every measure of every class, and its means, with intervals."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.evaluation.measures import (
    MACRO,
    MEASURES,
    Predictions,
    Sample,
    findings_of,
    unscorable_reason,
)
from cxr14.labels import CLASSES
from cxr14.metrics.auroc import (
    MIN_PER_CLASS,
    Array,
    Floats,
    delong_interval,
    first_per_patient,
    scorable,
)
from cxr14.metrics.bootstrap import ENDS, MAX_DROPPED_SHARE, interval
from cxr14.metrics.calibration import reliability_bins
from cxr14.metrics.curves import Points, precision_recall_points, roc_points, threshold_f1_points

FINDING_COLUMNS: Final = [
    *("finding", "images", "positives", "negatives", "prevalence", "threshold"),
    *(f"{measure.name}{end}" for measure in MEASURES for end in ENDS),
    *("auroc_delong_low", "auroc_delong_high", "dropped_replicates", "reason"),
]
MEAN_COLUMNS: Final = ["mean", "value", "low", "high", "findings", "dropped_replicates", "reason"]

KINDS: Final = (MACRO, "micro", "weighted")
"""Kinds of mean over the findings, in the order of means.csv."""

ONE_PATIENT: Final = "all images are of one patient: nothing to resample"

Row = dict[str, Any]
Measured = dict[str, Floats]  # by measure (1 + R, C)


def measure_values(sample: Sample) -> Measured:
    """Compute all measures of a sample, by name, (1 + R, C) each."""
    return {measure.name: measure.compute(sample) for measure in MEASURES}


def finding_rows(
    predictions: Predictions, sample: Sample, patients: Array, values: Measured
) -> pd.DataFrame:
    """Build findings.csv: a row per class, in the order of the classes.

    Args:
        predictions: for the N test images, in the order of their names.
        sample: the same images.
        patients: (N,).
        values: see :func:`measure_values`.

    Returns:
        The columns FINDING_COLUMNS; null where a measure cannot be computed, see ``reason``.
    """
    single = first_per_patient(patients)
    rows = []
    for column, name in enumerate(predictions.classes):
        labels, logits = sample.labels[:, column], predictions.logits[:, column]
        delong_low, delong_high = delong_interval(labels[single], logits[single])
        values_of_class = {measure: by_class[:, column] for measure, by_class in values.items()}
        auroc = values_of_class["auroc"]
        row: Row = {
            **_counts(name, labels),
            "threshold": predictions.thresholds[column],
            **_with_intervals(values_of_class),
            "auroc_delong_low": delong_low,
            "auroc_delong_high": delong_high,
            "dropped_replicates": interval(auroc[1:])[2] if len(auroc) > 1 else None,
        }
        reasons = _reasons(row, predictions.reasons.get(name), labels, labels[single])
        rows.append(row | {"reason": "; ".join(reasons) or None})
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


def _with_intervals(values: Measured) -> Row:
    """Return every measure of one class with its interval."""
    row: Row = {}
    for measure in MEASURES:
        name, of_measure = measure.name, values[measure.name]
        row[name] = float(of_measure[0])
        row[f"{name}_low"], row[f"{name}_high"], _ = interval(measure.replicates(of_measure))
    return row


def _reasons(row: Row, undecided: str | None, labels: Array, single_labels: Array) -> list[str]:
    """Return why values in a row are null."""
    reason = unscorable_reason(labels, "test")
    if reason:
        return [reason]
    reasons = [undecided]
    dropped, positives = row["dropped_replicates"], int((single_labels > 0).sum())
    negatives = len(single_labels) - positives
    if dropped is None:
        reasons.append(ONE_PATIENT)
    elif dropped > MAX_DROPPED_SHARE:
        reasons.append(f"no intervals: {100 * dropped:.1f} % of resamples hold one class only")
    if np.isfinite(row["threshold"]) and np.isnan(row["precision"]):
        reasons.append("no precision: nothing is called")
    elif row["precision_low"] is None and row["recall_low"] is not None:
        reasons.append("no interval of precision: too many resamples in which nothing is called")
    if min(positives, negatives) < MIN_PER_CLASS:
        kept = f"{positives} positive and {negatives} negative images"
        reasons.append(f"no DeLong interval: one image per patient leaves {kept}")
    elif row["auroc_delong_low"] is None:
        reasons.append("no DeLong interval: its variance is 0")
    return [text for text in reasons if text]


def mean_rows(predictions: Predictions, sample: Sample, values: Measured) -> pd.DataFrame:
    """Build means.csv: a row per kind of mean and measure. No Finding is in none of them.

    Macro means weigh findings equally, weighted means by prevalence. Both are over the findings
    that can be scored on all images; a replicate counts if it can score all of them. Micro means
    pool the entries (image, finding) of all findings, for decisions of those with a threshold. The
    measures that need a calibration are over the findings that have one, also before calibration.

    Args:
        predictions: for the N test images.
        sample: the same images.
        values: see :func:`measure_values`.

    Returns:
        The columns MEAN_COLUMNS.
    """
    findings = findings_of(predictions.classes)
    pools = {"nothing": findings, "threshold": findings & sample.decided}
    pooled = {needs: sample.pooled(columns) for needs, columns in pools.items()}
    calibrated = ~np.isnan(values["ece_platt"][0])
    positives = sample.confusion.positives
    rows = []
    for measure in MEASURES:
        by_class = values[measure.name]
        counted = findings & ~np.isnan(by_class[0])
        if measure.needs == "calibration":
            counted &= calibrated
        shares = {MACRO: np.ones_like(positives), "weighted": positives}
        means = {
            kind: (_weighted_mean(by_class[:, counted], weights[:, counted]), counted)
            for kind, weights in shares.items()
        }
        if measure.needs in pools:
            micro = measure.compute(pooled[measure.needs])[:, 0]
            means["micro"] = micro, pools[measure.needs]
        for kind in (kind for kind in KINDS if kind in means):
            mean, columns = means[kind]
            row = _mean_row(mean, measure.replicates(mean))
            rows.append({"mean": f"{kind}_{measure.name}", "findings": int(columns.sum()), **row})
    numbers = dict.fromkeys(("value", "low", "high", "dropped_replicates"), np.float64)
    return pd.DataFrame(rows, columns=MEAN_COLUMNS).astype(numbers)


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of (W, F) by (W, F) weights: (W,), NaN where any value is, or where there is none."""
    totals = weights.sum(axis=1)
    return np.where(totals > 0, (values * weights).sum(axis=1) / np.maximum(totals, 1), np.nan)


def _mean_row(values: Floats, replicates: Floats) -> Row:
    """Return a mean (1 + R,) with the interval of its replicates (R,), and why it is null."""
    low, high, dropped = interval(replicates)
    known, resampled = bool(np.isfinite(values[0])), len(values) > 1
    reason = None
    if not known:
        reason = "no finding can be scored"
    elif not resampled:
        reason = ONE_PATIENT
    elif low is None:
        reason = f"no interval: {100 * dropped:.1f} % of resamples leave a finding unscored"
    return {
        "value": float(values[0]) if known else None,
        "low": low if known else None,
        "high": high if known else None,
        "dropped_replicates": dropped if known and resampled else None,
        "reason": reason,
    }


def curve_tables(
    labels: Array, logits: Array, probabilities: Array, classes: Sequence[str] = CLASSES
) -> dict[str, pd.DataFrame]:
    """Points of all four curves of every class that can be scored.

    Args:
        labels: (N, C) of 0 and 1.
        logits: (N, C), for ROC and precision-recall.
        probabilities: (N, C), for reliability and F1.
        classes: C names of the columns.

    Returns:
        ``roc``, ``pr``, ``reliability`` and ``threshold_f1``, each with a first column ``finding``,
        in the order of the classes.
    """
    sources: dict[str, tuple[Callable[[Array, Array], Points], Array, list[str]]] = {
        "roc": (roc_points, logits, ["false_positive_rate", "true_positive_rate"]),
        "pr": (precision_recall_points, logits, ["recall", "precision"]),
        "reliability": (reliability_bins, probabilities, ["predicted", "observed", "images"]),
        "threshold_f1": (threshold_f1_points, probabilities, ["threshold", "f1"]),
    }
    tables = {}
    for name, (points, scores, columns) in sources.items():
        curves = [
            pd.DataFrame(points(labels[:, i], scores[:, i])).assign(finding=finding)
            for i, finding in enumerate(classes)
            if scorable(labels[:, i])
        ]
        empty = pd.DataFrame(columns=["finding", *columns])
        joined = pd.concat(curves, ignore_index=True) if curves else empty
        tables[name] = joined[["finding", *columns]]
    return tables
