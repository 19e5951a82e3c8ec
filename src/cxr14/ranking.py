"""AUROC: how well scores put images with a finding above images without it (NumPy only).

Training chooses its best epoch by it, evaluation reports it: one definition for both. It is read
off a tally of how many true and false positives there are if an image counts as positive from a
given score upwards. Equal scores are one step of that tally, so ties cost one half.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr14.findings import CLASSES, NO_FINDING

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def tallies(labels: Array, scores: Array) -> tuple[Array, Counts, Counts]:
    """Count true and false positives at every distinct score.

    Args:
        labels: (N,), 1 where the finding is present, else 0.
        scores: (N,), higher means more likely; finite.

    Returns:
        The K distinct scores, falling (K,), and the true and the false positives (K,) if every
        image with at least that score is called positive.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    falling = scores[order]
    last_of_run = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)[: len(falling)])
    true_positives = np.cumsum(labels[order] > 0, dtype=np.int64)[last_of_run]
    return falling[last_of_run], true_positives, last_of_run + 1 - true_positives


def auroc(labels: Array, scores: Array) -> float | None:
    """Area under the ROC curve of one finding; None without positives or without negatives.

    By the trapezoid rule, which is the share of (positive, negative) pairs in the right order,
    an equal score counting one half (Mann and Whitney 1947).
    """
    if not scorable(labels):
        return None
    _, up, right = tallies(labels, scores)
    doubled = (np.diff(right, prepend=0) * (2 * up - np.diff(up, prepend=0))).sum()
    return float(doubled / (2 * up[-1] * right[-1]))


def scorable(labels: Array) -> bool:
    """Whether labels (N,) hold both positives and negatives."""
    return bool((labels > 0).any() and not (labels > 0).all())


def macro_auroc(
    labels: Array, scores: Array, classes: Sequence[str] = CLASSES
) -> tuple[float | None, int]:
    """Mean AUROC over the findings that can be scored; No Finding stays apart.

    Args:
        labels: (N, C) of 0 and 1.
        scores: (N, C) logits or probabilities.
        classes: C names of the columns.

    Returns:
        The mean in [0, 1], None if no finding can be scored, and how many findings it is over.
    """
    columns = zip(classes, labels.T, scores.T, strict=True)
    return mean_over_scored([auroc(own, out) for name, own, out in columns if name != NO_FINDING])


def mean_over_scored(values: list[float | None]) -> tuple[float | None, int]:
    """Mean of the values that are not None (None if all are), and how many these are."""
    scored = [value for value in values if value is not None]
    return (float(np.mean(scored)) if scored else None), len(scored)
