"""DeLong's interval of an AUROC: no resampling, but every image independent of every other."""

import numpy as np
from scipy.stats import norm, rankdata

from cxr14.ranking import Array

LEAST = 2  # a variance needs two positives and two negatives


def delong(labels: Array, scores: Array) -> tuple[float, float] | None:
    """Return AUROC and its variance (DeLong, DeLong and Clarke-Pearson 1988).

    By midranks, in O(N log N) (Sun and Xu 2014, algorithm 2): the share of negatives that a
    positive beats is its rank among all less its rank among the positives.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,).

    Returns:
        (area, variance); None with fewer than two positives or two negatives.
    """
    present = labels > 0
    positives, negatives = int(present.sum()), int((~present).sum())
    if min(positives, negatives) < LEAST:
        return None
    ranks = rankdata(scores)
    beaten = (ranks[present] - rankdata(scores[present])) / negatives
    lost = (ranks[~present] - rankdata(scores[~present])) / positives
    return float(beaten.mean()), float(
        np.var(beaten, ddof=1) / positives + np.var(lost, ddof=1) / negatives
    )


def delong_interval(labels: Array, scores: Array) -> tuple[float | None, float | None]:
    """95 % interval, area ± 1.96 standard errors, cut to [0, 1].

    Args:
        labels: (N,) of 0 and 1, of independent images: one per patient.
        scores: (N,).

    Returns:
        Low and high end; (None, None) with fewer than two positives or negatives, and where the
        variance is 0 (every positive above every negative, or all scores equal), for it would
        claim certainty.
    """
    found = delong(labels, scores)
    if found is None or found[1] == 0:
        return None, None
    half = float(norm.ppf(0.975) * np.sqrt(found[1]))
    return max(0.0, found[0] - half), min(1.0, found[0] + half)


def first_per_patient(patients: Array) -> Array:
    """Choose the first image of each patient (N,): rising indices, one image each."""
    return np.sort(np.unique(patients, return_index=True)[1])
