"""The probability from which a finding is called present: highest F1 on validation."""

import numpy as np

from cxr14.ranking import Array, Floats, scorable, tallies


def f1_by_threshold(labels: Array, probabilities: Array) -> tuple[Array, Floats]:
    """Return F1 from every observed probability upwards.

    Args:
        labels: (N,) of 0 and 1, with positives.
        probabilities: (N,) in [0, 1]; an image is positive if its probability ≥ threshold.

    Returns:
        The K distinct probabilities, falling (K,), and F1 from each (K,).
    """
    thresholds, true_positives, false_positives = tallies(labels, probabilities)
    positives = true_positives[-1]
    return thresholds, 2 * true_positives / (true_positives + false_positives + positives)


def highest_f1(labels: Array, probabilities: Array) -> float | None:
    """Find the threshold of highest F1, exactly, among all observed probabilities.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].

    Returns:
        The threshold; of equally good ones the highest (fewest images called). None if the
        labels hold no positives or no negatives.
    """
    if not scorable(labels):
        return None
    candidates, f1 = f1_by_threshold(labels, probabilities)
    return float(candidates[np.argmax(f1)])  # argmax takes the first; candidates fall


def why_none(labels: Array, part: str = "validation") -> str | None:
    """Say in words why the labels (N,) of a part allow no choice and no score; None if they do."""
    if scorable(labels):
        return None
    missing = "negatives" if (labels > 0).any() else "positives"
    return f"{part} holds no {missing} among {len(labels)} images"
