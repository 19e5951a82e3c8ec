"""Points of curves for `dvc plots`, few enough to draw: ROC, PR, reliability, F1 by threshold."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.labels import CLASSES
from cxr14.metrics.auroc import Array, confusion_curve, scorable
from cxr14.metrics.calibration import f1_by_threshold, reliability_table

POINTS = 200


def roc_points(labels: Array, scores: Array) -> pd.DataFrame:
    """Points of one ROC curve from (0, 0) to (1, 1), at most 200, evenly spread along it.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        Columns false_positive_rate and true_positive_rate, rising.
    """
    _, true_positives, false_positives = confusion_curve(labels, scores)
    right = np.append(0, false_positives) / false_positives[-1]
    up = np.append(0, true_positives) / true_positives[-1]
    kept = _thinned(right + up)
    return pd.DataFrame({"false_positive_rate": right[kept], "true_positive_rate": up[kept]})


def precision_recall_points(labels: Array, scores: Array) -> pd.DataFrame:
    """Points of one precision-recall curve, at most 200, evenly spread over recall.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        Columns recall and precision; recall rises. Of equal recalls the first is kept, where
        the precision is highest, if the curve has to be thinned.
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
        Columns predicted (mean probability, rising), observed (share of positives), images.
    """
    return reliability_table(labels, probabilities)


def threshold_f1_points(labels: Array, probabilities: Array) -> pd.DataFrame:
    """F1 if an image is positive from a threshold upwards; at most 200 points, the best among them.

    Args:
        labels: (N,) of 0 and 1, both present.
        probabilities: (N,) in [0, 1].

    Returns:
        Columns threshold (observed probabilities, rising) and f1.
    """
    thresholds, f1 = f1_by_threshold(labels, probabilities)
    rising, f1 = thresholds[::-1], f1[::-1]
    kept = np.union1d(_thinned(rising, POINTS - 1), np.argmax(f1))
    return pd.DataFrame({"threshold": rising[kept], "f1": f1[kept]})


def curve_tables(
    labels: Array, logits: Array, probabilities: Array, classes: Sequence[str] = CLASSES
) -> dict[str, pd.DataFrame]:
    """Points of all four curves of every class that can be scored.

    Args:
        labels: (N, C) of 0 and 1.
        logits: (N, C), for what is ranked.
        probabilities: (N, C), for what is held against a number.
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
    """Choose indices of at most ``points`` of the rising values (K,), ends included."""
    if len(along) <= points:
        return np.arange(len(along))
    return np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], points)))
