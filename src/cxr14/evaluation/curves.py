"""ROC and precision-recall points for `dvc plots`, few enough to draw."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.findings import CLASSES
from cxr14.ranking import Array, Floats, scorable, tallies

POINTS = 200


def roc_points(labels: Array, scores: Array) -> pd.DataFrame:
    """Points of one ROC curve from (0, 0) to (1, 1), at most 200, evenly spread along it.

    Args:
        labels: (N,) of 0 and 1, both present.
        scores: (N,).

    Returns:
        Columns false_positive_rate and true_positive_rate, rising.
    """
    _, true_positives, false_positives = tallies(labels, scores)
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
    _, true_positives, false_positives = tallies(labels, scores)
    recall = true_positives / true_positives[-1]
    precision = true_positives / (true_positives + false_positives)
    kept = _thinned(recall)
    return pd.DataFrame({"recall": recall[kept], "precision": precision[kept]})


def curve_tables(
    labels: Array, scores: Array, classes: Sequence[str] = CLASSES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ROC and precision-recall points of every class that can be scored.

    Args:
        labels: (N, C) of 0 and 1.
        scores: (N, C).
        classes: C names of the columns.

    Returns:
        Two tables with a first column ``finding``, in the order of the classes.
    """
    roc = [pd.DataFrame(columns=["finding", "false_positive_rate", "true_positive_rate"])]
    recall = [pd.DataFrame(columns=["finding", "recall", "precision"])]
    for column, name in enumerate(classes):
        one = labels[:, column], scores[:, column]
        if scorable(one[0]):
            roc.append(roc_points(*one).assign(finding=name))
            recall.append(precision_recall_points(*one).assign(finding=name))
    return _joined(roc), _joined(recall)


def _thinned(along: Floats) -> npt.NDArray[np.intp]:
    """Choose indices of at most POINTS of the rising values ``along`` (K,), ends included."""
    if len(along) <= POINTS:
        return np.arange(len(along))
    return np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], POINTS)))


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    head, *rest = tables
    return pd.concat(rest, ignore_index=True)[list(head.columns)] if rest else head
