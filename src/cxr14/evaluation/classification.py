"""What a finding scores: average precision, and F1, precision, recall at a threshold."""

import numpy as np

from cxr14.ranking import Array, auroc, scorable, tallies

FindingScores = dict[str, float | int | None]


def average_precision(labels: Array, scores: Array) -> float | None:
    """Sum of precision × gain in recall over falling thresholds; None where not scorable.

    No interpolation, as in scikit-learn's ``average_precision_score``.
    """
    if not scorable(labels):
        return None
    _, true_positives, false_positives = tallies(labels, scores)
    precision = true_positives / (true_positives + false_positives)
    gained = np.diff(true_positives, prepend=0)
    return float((gained * precision).sum() / true_positives[-1])


def decision_scores(
    labels: Array, probabilities: Array, threshold: float | None
) -> dict[str, float | None]:
    """F1, precision and recall if an image is positive from ``threshold`` upwards.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].
        threshold: chosen on other images; None if none could be chosen.

    Returns:
        ``f1``, ``precision``, ``recall`` in [0, 1]; None without threshold or where not
        scorable; precision also None if nothing is called positive.
    """
    if threshold is None or not scorable(labels):
        return {"f1": None, "precision": None, "recall": None}
    called, present = probabilities >= threshold, labels > 0
    hits, calls, positives = (int(mask.sum()) for mask in (called & present, called, present))
    return {
        "f1": 2 * hits / (calls + positives),
        "precision": hits / calls if calls else None,
        "recall": hits / positives,
    }


def finding_scores(
    labels: Array, logits: Array, probabilities: Array, threshold: float | None
) -> FindingScores:
    """Score one finding.

    Args:
        labels: (N,) of 0 and 1.
        logits: (N,), used for ranking: probabilities near 1 round to equal float32.
        probabilities: (N,), held against the threshold.
        threshold: on the probability; None if validation could not give one.
    """
    positives = int((labels > 0).sum())
    return {
        "auroc": auroc(labels, logits),
        "average_precision": average_precision(labels, logits),
        "prevalence": positives / len(labels) if len(labels) else None,
        "positives": positives,
        "negatives": len(labels) - positives,
        **decision_scores(labels, probabilities, threshold),
        "threshold": threshold,
    }
