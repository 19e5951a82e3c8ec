"""AUROC: how well scores put images with a finding above images without it (NumPy only).

Training chooses its best epoch by it, evaluation reports it: one definition for both. It is read
off a tally of how many true and false positives there are if an image counts as positive from a
given score upwards. Equal scores are one step of that tally, so ties cost one half.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.stats import norm, rankdata

from cxr14.labels import CLASSES, NO_FINDING

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion_curve(labels: Array, scores: Array) -> tuple[Array, Counts, Counts]:
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
    _, up, right = confusion_curve(labels, scores)
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
    return mean_over_scored(
        [auroc(targets, outputs) for name, targets, outputs in columns if name != NO_FINDING]
    )


def mean_over_scored(values: list[float | None]) -> tuple[float | None, int]:
    """Mean of the values that are not None (None if all are), and how many these are."""
    scored = [value for value in values if value is not None]
    return (float(np.mean(scored)) if scored else None), len(scored)


# AUROC under many weightings of patients at once, for thousands of small questions.
#
# What a patient adds to each step of the curve never changes: a sparse table of steps × patients,
# times the counts of all resamples, gives the curves of all resamples. It is what
# ``cxr14.metrics.bootstrap`` does by image, with equal results; by patient, and without the rest of
# its measures, it takes a fifth of the time (.02 s for a thousand resamples of 25,596 images of
# 2,797 patients, one in ten positive), and subgroups ask 4,700 times.


BLOCK_SIZE = 250_000
"""Numbers of the running sums held at once: a megabyte, which stays in the processor's cache."""


def aurocs(labels: Array, scores: Array, owner: Counts, counts: Array) -> Floats:
    """AUROC of one finding under every weighting.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) finite.
        owner: (n,) the patient of each image, a row of ``counts``.
        counts: (P, W) float32, how often each patient counts.

    Returns:
        (W,) in [0, 1], equal scores counting one half; NaN where a weighting leaves no positives
        or no negatives.
    """
    positives, negatives = _steps(labels > 0, scores, owner, len(counts))
    results = [np.zeros(0)]
    width = max(BLOCK_SIZE // negatives.shape[0], 50)
    for start in range(0, counts.shape[1], width):
        block = np.ascontiguousarray(counts[:, start : start + width])
        positive_counts, negatives_below = (
            positives @ block,
            negatives @ block,
        )  # (K, w), (K + 1, w)
        np.cumsum(negatives_below, axis=0, out=negatives_below)
        correct_pairs = np.einsum(
            "kw,kw->w", positive_counts, negatives_below[:-1], dtype=np.float64
        )
        pairs = positive_counts.sum(axis=0, dtype=np.float64) * negatives_below[-1]
        results.append(np.where(pairs > 0, correct_pairs / np.maximum(pairs, 1), np.nan))
    return np.concatenate(results)


def _steps(
    present: Array, scores: Array, owner: Counts, patients: int
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Count images by patient and by the K distinct scores of the positives, rising.

    Returns:
        Positives at each score (K, P). Negatives below the first score, between two, above the
        last (K + 1, P); one that equals a score counts half below it and half above.
    """
    distinct, step = np.unique(scores[present], return_inverse=True)
    absent, absent_owner = scores[~present], owner[~present]
    sides = [np.searchsorted(distinct, absent, side) for side in ("left", "right")]
    halves = np.full(2 * len(absent), 0.5, np.float32)
    ones = np.ones(len(step), np.float32)
    shape = len(distinct), patients
    return (
        sparse.csr_array((ones, (step, owner[present])), shape=shape),
        sparse.csr_array(
            (halves, (np.concatenate(sides), np.tile(absent_owner, 2))),
            shape=(shape[0] + 1, patients),
        ),
    )


# DeLong's interval of an AUROC: no resampling, but every image independent of every other.


MIN_PER_CLASS = 2  # a variance needs two positives and two negatives


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
    if min(positives, negatives) < MIN_PER_CLASS:
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
    estimate = delong(labels, scores)
    if estimate is None or estimate[1] == 0:
        return None, None
    half = float(norm.ppf(0.975) * np.sqrt(estimate[1]))
    return max(0.0, estimate[0] - half), min(1.0, estimate[0] + half)


def first_per_patient(patients: Array) -> Array:
    """Choose the first image of each patient (N,): rising indices, one image each."""
    return np.sort(np.unique(patients, return_index=True)[1])
