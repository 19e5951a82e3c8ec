"""findings.csv and means.csv: every measure of every class, and its means, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.evaluation.measures import (
    CALLED,
    MACRO,
    MEASURES,
    WITH,
    WITHOUT,
    Measure,
    Predictions,
    Sample,
    findings_of,
    unscorable_reason,
)
from cxr14.labels import CLASSES
from cxr14.metrics.auroc import Array, Floats, delong_interval, first_per_patient, scorable
from cxr14.metrics.bootstrap import ENDS, MIN_PATIENTS, interval, too_few_patients
from cxr14.metrics.calibration import reliability_bins
from cxr14.metrics.curves import Points, precision_recall_points, roc_points, threshold_f1_points

CHANCE: Final = "_chance"
"""Suffix of the columns of a measure's value for a perfect forecast."""

FINDING_COLUMNS: Final = [
    *("finding", "images", "positives", "negatives", "prevalence", "threshold"),
    *(
        f"{measure.name}{end}"
        for measure in MEASURES
        for end in (*ENDS, *([CHANCE] if measure.chance else []))
    ),
    *("auroc_delong_low", "auroc_delong_high", "dropped_replicates", "reason"),
]
MEAN_COLUMNS: Final = [
    *("mean", "value", "low", "high", "chance", "findings", "dropped_replicates", "reason")
]

KINDS: Final = (MACRO, "micro", "weighted")
"""Kinds of mean over the findings, in the order of means.csv."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """All measures of C classes.

    Attributes:
        values: by measure, (1 + R, C).
        chance: by measure that has one, (C,): its value for a perfect forecast.
        enough: by measure, (C,): whether there are enough patients for an interval.
    """

    values: dict[str, Floats]
    chance: dict[str, Floats]
    enough: dict[str, Array]

    def of_class(self, measure: Measure, column: int) -> Row:
        """Return a measure of one class, with its interval and its chance level."""
        name, values = measure.name, self.values[measure.name][:, column]
        low, high, _ = interval(measure.replicates(values))
        ends = (low, high) if self.enough[name][column] else (None, None)
        row: Row = dict(
            zip((f"{name}{end}" for end in ENDS), (float(values[0]), *ends), strict=True)
        )
        return row | ({name + CHANCE: self.chance[name][column]} if measure.chance else {})


def measure_values(sample: Sample) -> Measured:
    """Compute all measures of a sample."""
    return Measured(
        {measure.name: measure.compute(sample) for measure in MEASURES},
        {measure.name: measure.chance(sample) for measure in MEASURES if measure.chance},
        {measure.name: measure.has_enough_patients(sample) for measure in MEASURES},
    )


def finding_rows(
    predictions: Predictions, sample: Sample, patients: Array, measured: Measured
) -> pd.DataFrame:
    """Build findings.csv: a row per class, in the order of the classes.

    Args:
        predictions: for the N test images, in the order of their names.
        sample: the same images.
        patients: (N,).
        measured: see :func:`measure_values`.

    Returns:
        The columns FINDING_COLUMNS; null where a measure cannot be computed, see ``reason``.
    """
    single = first_per_patient(patients)
    rows = []
    for column, name in enumerate(predictions.classes):
        labels, auroc = sample.labels[:, column], measured.values["auroc"][:, column]
        row: Row = {
            **_counts(name, labels),
            "threshold": predictions.thresholds[column],
            **{k: v for item in MEASURES for k, v in measured.of_class(item, column).items()},
            **_delong(labels[single], predictions.logits[single, column]),
            "dropped_replicates": interval(auroc[1:])[2] if len(auroc) > 1 else None,
        }
        counts = {who: int(numbers[column]) for who, numbers in sample.patients.items()}
        reasons = _reasons(row, predictions.reasons.get(name), labels, counts)
        reasons += [] if unscorable_reason(labels) else _delong_reason(row, labels[single])
        rows.append(row | {"reason": "; ".join(reasons) or None})
    numbers = dict.fromkeys(FINDING_COLUMNS[FINDING_COLUMNS.index("prevalence") : -1], np.float64)
    return pd.DataFrame(rows, columns=FINDING_COLUMNS).astype(numbers)


def _counts(name: str, labels: Array) -> Row:
    images, positives = int((labels >= 0).sum()), int((labels > 0).sum())
    return {
        "finding": name,
        "images": images,
        "positives": positives,
        "negatives": images - positives,
        "prevalence": positives / images if images else None,
    }


def _delong(labels: Array, logits: Array) -> Row:
    """Return DeLong's interval on one image per patient (n,); null for too few of a kind."""
    ends = delong_interval(labels, logits) if _few_images(labels) is None else (None, None)
    return dict(zip(("auroc_delong_low", "auroc_delong_high"), ends, strict=True))


def _few_images(labels: Array) -> str | None:
    """Return that one image per patient (n,) leaves too few positives or negatives, or None."""
    positives = int((labels > 0).sum())
    negatives = int((labels == 0).sum())
    if min(positives, negatives) >= MIN_PATIENTS:
        return None
    return f"one image per patient leaves {positives} positive and {negatives} negative images"


def _delong_reason(row: Row, labels: Array) -> list[str]:
    if row["auroc_delong_low"] is not None:
        return []
    return [f"no DeLong interval: {_few_images(labels) or 'its variance is 0'}"]


def _reasons(
    row: Row, undecided: str | None, labels: Array, patients: Mapping[str, int]
) -> list[str]:
    """Return why values in a row are null; patients as of :attr:`Sample.patients`."""
    reason = unscorable_reason(labels, "test")
    if reason:
        return [reason]
    reasons = [undecided]
    few = too_few_patients({who: patients[who] for who in (WITH, WITHOUT)})
    if few:
        reasons.append(f"no intervals: {few}")
    if np.isfinite(row["threshold"]) and np.isnan(row["precision"]):
        reasons.append("no precision: nothing is called")
    elif row["precision_low"] is None and row["recall_low"] is not None:
        few_called = too_few_patients({CALLED: patients[CALLED]})
        reasons.append(f"no interval of precision: {few_called}")
    return [text for text in reasons if text]


def mean_rows(predictions: Predictions, sample: Sample, measured: Measured) -> pd.DataFrame:
    """Build means.csv: a row per kind of mean and measure. No Finding is in none of them.

    Macro means weigh findings equally, weighted means by prevalence. Both are over the findings
    that can be scored on all images. Their intervals need enough patients of every finding, and a
    replicate counts if it can score all of them. Micro means pool the entries (image, finding) of
    all findings, for decisions of those with a threshold. The measures that need a calibration are
    over the findings that have one, also before calibration.

    Args:
        predictions: for the N test images.
        sample: the same images.
        measured: see :func:`measure_values`.

    Returns:
        The columns MEAN_COLUMNS.
    """
    findings = findings_of(predictions.classes)
    pools = {"nothing": findings, "threshold": findings & sample.decided}
    pooled = {needs: sample.pooled(columns) for needs, columns in pools.items()}
    calibrated = ~np.isnan(measured.values["ece_platt"][0])
    rows = []
    for measure in MEASURES:
        counted = findings & ~np.isnan(measured.values[measure.name][0])
        if measure.needs == "calibration":
            counted &= calibrated
        means = _means_over_findings(predictions, sample, measured, measure, counted)
        if measure.needs in pools:
            pool, n_findings = pooled[measure.needs], int(pools[measure.needs].sum())
            few = [] if measure.has_enough_patients(pool)[0] else ["all findings together"]
            means["micro"] = {"findings": n_findings}
            means["micro"] |= _mean_row(measure, measure.compute(pool)[:, 0], few)
        rows += [{"mean": f"{k}_{measure.name}"} | means[k] for k in KINDS if k in means]
    numbers = dict.fromkeys(("value", "low", "high", "chance", "dropped_replicates"), np.float64)
    return pd.DataFrame(rows, columns=MEAN_COLUMNS).astype(numbers)


def _means_over_findings(
    predictions: Predictions, sample: Sample, measured: Measured, measure: Measure, counted: Array
) -> dict[str, Row]:
    """Return the macro and the weighted mean of a measure over the counted findings (C,)."""
    values, positives = measured.values[measure.name], sample.confusion.positives
    chance = measured.chance.get(measure.name)
    few = np.array(predictions.classes)[counted & ~measured.enough[measure.name]].tolist()
    rows = {}
    for kind, weights in ((MACRO, np.ones_like(positives)), ("weighted", positives)):
        mean = _weighted_mean(values[:, counted], weights[:, counted])
        rows[kind] = {"findings": int(counted.sum())} | _mean_row(measure, mean, few)
        if chance is not None:
            rows[kind]["chance"] = _weighted_mean(chance[None, counted], weights[:1, counted])[0]
    return rows


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of (W, F) by (W, F) weights: (W,), NaN where any value is, or where there is none."""
    totals = weights.sum(axis=1)
    return np.where(totals > 0, (values * weights).sum(axis=1) / np.maximum(totals, 1), np.nan)


def _mean_row(measure: Measure, values: Floats, few: Sequence[str]) -> Row:
    """Return a mean (1 + R,) with its interval, and why it is null.

    Args:
        measure: of which it is the mean.
        values: on all images, then by replicate.
        few: names of the findings with too few patients for an interval.
    """
    if not np.isfinite(values[0]):
        return {"reason": "no finding can be scored"}
    low, high, dropped = interval(measure.replicates(values))
    row = {"value": float(values[0]), "dropped_replicates": dropped if len(values) > 1 else None}
    if few:
        return row | {"reason": f"no interval: too few patients of {', '.join(few)}"}
    return row | {"low": low, "high": high}


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
