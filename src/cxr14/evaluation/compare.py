"""Comparisons of networks: between backbones, and their curves."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.evaluation.measures import MACRO, MEASURES, Measure, Predictions, sample_of
from cxr14.labels import NO_FINDING, label_matrix, without_no_finding
from cxr14.metrics.auroc import Array, Floats, scorable
from cxr14.metrics.bootstrap import Replicates, enough_patients, patients_by_class
from cxr14.metrics.calibration import reliability_bins
from cxr14.metrics.curves import (
    precision_recall_points,
    roc_points,
    threshold_f1_points,
)
from cxr14.metrics.intervals import summary

MEAN_MEASURES: Final = {f"{MACRO}_{item.name}": item for item in MEASURES if item.compared}
"""Measures whose means over findings are compared, by the name of the mean."""

DIFFERENCE: Final = ("difference", "low", "high", "dropped_replicates")

Row = dict[str, Any]


def difference_table(
    records: pd.DataFrame, predictions: Mapping[str, Predictions], replicates: Replicates
) -> pd.DataFrame:
    """Compare every pair of networks on the same replicates.

    Args:
        records: of the N test images, in the order of the predictions.
        predictions: by backbone.
        replicates: of their patients.

    Returns:
        A row per pair and measure: model_a, model_b, measure, difference (a − b), low, high,
        dropped_replicates (share that cannot score all findings; null without an interval),
        images, patients, findings (over which both means are), reason (why there is no interval).
    """
    findings = common_findings(list(predictions.values()), records)
    few = few_patients(records, findings, replicates)
    means = {
        name: macro_values(network, records, findings, replicates)
        for name, network in predictions.items()
    }
    counts = {"images": len(records), "patients": len(replicates.counts)}
    rows = [
        {"model_a": model_a, "model_b": model_b, **row, **counts}
        | {"findings": len(findings[row["measure"]]), "reason": few[row["measure"]]}
        for model_a, model_b in combinations(predictions, 2)
        for row in difference_rows(means[model_a], means[model_b], few)
    ]
    columns = ["model_a", "model_b", "measure", *DIFFERENCE, *counts, "findings", "reason"]
    return pd.DataFrame(rows, columns=columns)


def difference_rows(
    first: Mapping[str, Floats], second: Mapping[str, Floats], few: Mapping[str, str | None]
) -> Iterator[Row]:
    """Yield the difference of each measure with its interval.

    Args:
        first: by measure, (1 + R,).
        second: same.
        few: by measure, why there is no interval, see :func:`few_patients`.
    """
    for name, measure in MEAN_MEASURES.items():
        values = measure.difference(first[name], second[name])
        scores = summary(values[:1] if few[name] else values)
        yield {"measure": name, **dict(zip(DIFFERENCE, scores, strict=True))}


Findings = dict[str, list[str]]
"""Findings over which a mean is taken, by measure."""


def common_findings(predictions: Sequence[Predictions], records: pd.DataFrame) -> Findings:
    """Return the findings that all networks predict and that have positives and negatives.

    For a measure at thresholds they also need a threshold of every network.
    """
    shared = [
        name
        for name in predictions[0].classes
        if all(name in network.classes for network in predictions)
    ]
    findings = without_no_finding(shared)
    labels = label_matrix(records, findings)
    scored = [name for name, column in zip(findings, labels.T, strict=True) if scorable(column)]

    def usable(measure: Measure) -> list[str]:
        if measure.needs != "threshold":
            return scored
        thresholds = [network.decision["thresholds"] for network in predictions]
        return [name for name in scored if all(values[name] is not None for values in thresholds)]

    return {name: usable(measure) for name, measure in MEAN_MEASURES.items()}


def few_patients(
    records: pd.DataFrame, findings: Findings, replicates: Replicates
) -> dict[str, str | None]:
    """Return by measure which findings have too few patients for an interval, or None."""

    def reason(names: list[str]) -> str | None:
        if not names:
            return None
        labels = label_matrix(records, names)
        sides = (patients_by_class(side, replicates.owner) for side in (labels > 0, labels == 0))
        few = np.array(names)[~enough_patients(*sides)].tolist()
        return f"no interval: too few patients of {', '.join(few)}" if few else None

    return {measure: reason(names) for measure, names in findings.items()}


def macro_values(
    predictions: Predictions, records: pd.DataFrame, findings: Findings, replicates: Replicates
) -> dict[str, Floats]:
    """Means over findings of the compared measures, each (1 + R,).

    NaN in a replicate that leaves one of the findings without positives or negatives.
    """
    samples = {
        names: sample_of(predictions.select(names), label_matrix(records, names), replicates)
        for names in set(map(tuple, findings.values()))
        if names
    }
    nothing = np.full(replicates.counts.shape[1], np.nan)
    return {
        name: item.compute(samples[names]).mean(axis=1)
        if (names := tuple(findings[name]))
        else nothing
        for name, item in MEAN_MEASURES.items()
    }


COMPARISON_POINTS: Final = 60
"""Largest number of points of a curve for `dvc plots`."""

AXES: Final = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "pr": ["recall", "precision"],
    "reliability": ["predicted", "observed"],
    "threshold_f1": ["threshold", "f1"],
}
"""Curves, and the columns on their axes."""

Curves = dict[str, pd.DataFrame]


def comparison_tables(records: pd.DataFrame, predictions: Mapping[str, Predictions]) -> Curves:
    """Compute the curves of all networks for `dvc plots`.

    ``macro`` is the mean of the findings' curves at equal false positive rates, recalls or
    thresholds; precision and F1 are interpolated by steps (Davis and Goadrich 2006). The macro
    reliability curve pools the predictions of all findings.

    Args:
        records: of the N test images, in the order of the predictions.
        predictions: by backbone.

    Returns:
        By name of AXES a table: backbone, finding, the axes; ``macro`` first, then the
        classes that can be scored. Reliability is of Platt-scaled probabilities.
    """
    tables_by_curve: dict[str, list[pd.DataFrame]] = {
        name: [pd.DataFrame(columns=["backbone", "finding", *axes])] for name, axes in AXES.items()
    }
    for backbone, network in predictions.items():
        for finding, curves in _curves_of(network, label_matrix(records, network.classes)):
            for name, curve in curves.items():
                tables_by_curve[name].append(curve.assign(backbone=backbone, finding=finding))
    return {
        name: pd.concat(tables[1:] or tables)[list(tables[0])]
        for name, tables in tables_by_curve.items()
    }


def _curves_of(predictions: Predictions, labels: Array) -> Iterator[tuple[str, Curves]]:
    """Yield the curves of ``macro`` and of each class of one network."""
    scored = [i for i in range(len(predictions.classes)) if scorable(labels[:, i])]
    full_curves = {i: _class_curves(predictions, labels, i) for i in scored}
    findings = [i for i in scored if predictions.classes[i] != NO_FINDING]
    if findings:
        yield (
            MACRO,
            {
                **_mean_curves([full_curves[i] for i in findings]),
                **_reliability(
                    labels[:, findings].ravel(), predictions.calibrated[:, findings].ravel()
                ),
            },
        )
    for i, curves in full_curves.items():
        yield predictions.classes[i], {name: thinned(curve, name) for name, curve in curves.items()}


def _class_curves(predictions: Predictions, labels: Array, column: int) -> Curves:
    labels_of_class, logits = labels[:, column], predictions.logits[:, column]
    probabilities = predictions.probabilities[:, column]
    return {
        "roc": pd.DataFrame(roc_points(labels_of_class, logits)),
        "pr": pd.DataFrame(precision_recall_points(labels_of_class, logits)),
        **_reliability(labels_of_class, predictions.calibrated[:, column]),
        "threshold_f1": pd.DataFrame(threshold_f1_points(labels_of_class, probabilities)),
    }


def _reliability(labels: Array, calibrated: Floats) -> Curves:
    """Return the reliability curve of the scaled probabilities, if there are any."""
    known = np.isfinite(calibrated)
    if not known.any():
        return {}
    return {"reliability": pd.DataFrame(reliability_bins(labels[known], calibrated[known]))}


def thinned(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Keep at most 60 points of a curve, its ends and its highest point among them."""
    if len(curve) <= COMPARISON_POINTS:
        return curve
    top = int(np.argmax(curve[AXES[name][1]].to_numpy()))
    even = np.linspace(0, len(curve) - 1, COMPARISON_POINTS - 1).round().astype(int)
    return curve.iloc[np.union1d(even, top)]


def _mean_curves(curves: list[Curves]) -> Curves:
    """Mean of the findings' curves at 60 positions of the horizontal axis."""
    positions = np.linspace(0, 1, COMPARISON_POINTS)
    means = {}
    for name, height in (
        ("roc", _linear_heights),
        ("pr", _step_heights),
        ("threshold_f1", _step_heights),
    ):
        across, up = AXES[name]
        heights = [
            height(curves_of_class[name][across], curves_of_class[name][up], positions)
            for curves_of_class in curves
        ]
        means[name] = pd.DataFrame({across: positions, up: np.mean(heights, axis=0)})
    return means


def _linear_heights(
    across: "pd.Series[float]", up: "pd.Series[float]", positions: Floats
) -> Floats:
    """Heights of a rising curve; the highest of several points at one position."""
    highest = up.groupby(across).max()
    return np.interp(positions, highest.index.to_numpy(), highest.to_numpy())


def _step_heights(across: "pd.Series[float]", up: "pd.Series[float]", positions: Floats) -> Floats:
    """Heights at the first point at or right of each position; 0 right of the last."""
    return np.append(up.to_numpy(), 0.0)[np.searchsorted(across.to_numpy(), positions)]
