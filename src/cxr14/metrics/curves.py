"""Points of curves: ROC, precision-recall, F1 by threshold.

The reliability curve is :func:`cxr14.metrics.calibration.reliability_bins`.
"""

import numpy as np
import numpy.typing as npt

from cxr14.metrics.auroc import Array, confusion_curve
from cxr14.metrics.calibration import f1_by_threshold

POINTS = 200

Points = dict[str, Array]
"""Coordinates of the points by axis, arrays of one length."""


def roc_points(labels: Array, scores: Array) -> Points:
    """Points of one ROC curve from (0, 0) to (1, 1), at most 200, at equal distances along it.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        false_positive_rate and true_positive_rate, ascending.
    """
    _, true_positives, false_positives = confusion_curve(labels, scores)
    fpr = np.append(0, false_positives) / false_positives[-1]
    tpr = np.append(0, true_positives) / true_positives[-1]
    kept = _thinned(fpr + tpr)
    return {"false_positive_rate": fpr[kept], "true_positive_rate": tpr[kept]}


def precision_recall_points(labels: Array, scores: Array) -> Points:
    """Points of one precision-recall curve, at most 200, evenly spread over recall.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        recall and precision, by ascending recall. A thinned curve keeps the first of
        equal recalls, where the precision is highest.
    """
    _, true_positives, false_positives = confusion_curve(labels, scores)
    recall = true_positives / true_positives[-1]
    precision = true_positives / (true_positives + false_positives)
    kept = _thinned(recall)
    return {"recall": recall[kept], "precision": precision[kept]}


def threshold_f1_points(labels: Array, probabilities: Array) -> Points:
    """F1 by threshold: at most 200 points, the highest F1 among them.

    Args:
        labels: (N,) of 0 and 1, both present.
        probabilities: (N,) in [0, 1].

    Returns:
        threshold (observed probabilities, ascending) and f1.
    """
    thresholds, f1 = f1_by_threshold(labels, probabilities)
    ascending, f1 = thresholds[::-1], f1[::-1]
    kept = np.union1d(_thinned(ascending, POINTS - 1), np.argmax(f1))
    return {"threshold": ascending[kept], "f1": f1[kept]}


def _thinned(along: Array, points: int = POINTS) -> npt.NDArray[np.intp]:
    """Return indices of at most ``points`` of the ascending values (K,), both ends included."""
    if len(along) <= points:
        return np.arange(len(along))
    return np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], points)))
