"""Points of curves for `dvc plots`: ROC, precision-recall, reliability, F1 by threshold."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.labels import CLASSES
from cxr14.metrics.auroc import Array, confusion_curve, scorable
from cxr14.metrics.calibration import f1_by_threshold, reliability_table

POINTS = 200


def roc_points(labels: Array, scores: Array) -> pd.DataFrame:
    """Points of one ROC curve from (0, 0) to (1, 1), at most 200, at equal distances along it.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        Columns false_positive_rate and true_positive_rate, ascending.
    """
    _, true_positives, false_positives = confusion_curve(labels, scores)
    fpr = np.append(0, false_positives) / false_positives[-1]
    tpr = np.append(0, true_positives) / true_positives[-1]
    kept = _thinned(fpr + tpr)
    return pd.DataFrame({"false_positive_rate": fpr[kept], "true_positive_rate": tpr[kept]})


def precision_recall_points(labels: Array, scores: Array) -> pd.DataFrame:
    """Points of one precision-recall curve, at most 200, evenly spread over recall.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        Columns recall and precision, by ascending recall. A thinned curve keeps the first of
        equal recalls, where the precision is highest.
    """
    _, true_positives, false_positives = confusion_curve(labels, scores)
    recall = true_positives / true_positives[-1]
    precision = true_positives / (true_positives + false_positives)
    kept = _thinned(recall)
    return pd.DataFrame({"recall": recall[kept], "precision": precision[kept]})


def reliability_points(labels: Array, probabilities: Array) -> pd.DataFrame:
    """Points of one reliability curve, in ten bins of equal mass.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].

    Returns:
        Columns predicted (mean probability, ascending), observed (share of positives), images.
    """
    return reliability_table(labels, probabilities)


def threshold_f1_points(labels: Array, probabilities: Array) -> pd.DataFrame:
    """F1 by threshold: at most 200 points, the highest F1 among them.

    Args:
        labels: (N,) of 0 and 1, both present.
        probabilities: (N,) in [0, 1].

    Returns:
        Columns threshold (observed probabilities, ascending) and f1.
    """
    thresholds, f1 = f1_by_threshold(labels, probabilities)
    ascending, f1 = thresholds[::-1], f1[::-1]
    kept = np.union1d(_thinned(ascending, POINTS - 1), np.argmax(f1))
    return pd.DataFrame({"threshold": ascending[kept], "f1": f1[kept]})


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
    tables = {}
    for name, (points, scores, columns) in {
        "roc": (roc_points, logits, ["false_positive_rate", "true_positive_rate"]),
        "pr": (precision_recall_points, logits, ["recall", "precision"]),
        "reliability": (reliability_points, probabilities, ["predicted", "observed", "images"]),
        "threshold_f1": (threshold_f1_points, probabilities, ["threshold", "f1"]),
    }.items():
        curves = [
            points(labels[:, i], scores[:, i]).assign(finding=finding)
            for i, finding in enumerate(classes)
            if scorable(labels[:, i])
        ]
        empty = pd.DataFrame(columns=["finding", *columns])
        joined = pd.concat(curves, ignore_index=True) if curves else empty
        tables[name] = joined[["finding", *columns]]
    return tables


def _thinned(along: Array, points: int = POINTS) -> npt.NDArray[np.intp]:
    """Return indices of at most ``points`` of the ascending values (K,), both ends included."""
    if len(along) <= points:
        return np.arange(len(along))
    return np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], points)))
