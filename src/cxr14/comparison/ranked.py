"""AUROC under many weightings of patients at once, for thousands of small questions.

What a patient adds to each step of the curve never changes: a sparse table of steps × patients,
times the counts of all resamples, gives the curves of all resamples. It is what
``cxr14.evaluation.weighted`` does by image, with equal results; by patient, and without the rest of
its measures, it takes a fifth of the time (.02 s for a thousand resamples of 25,596 images of 2,797
patients, one in ten positive), and subgroups ask 4,700 times.
"""

import numpy as np
from scipy import sparse

from cxr14.ranking import Array, Counts, Floats

AT_A_TIME = 250_000
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
    found = [np.zeros(0)]
    width = max(AT_A_TIME // negatives.shape[0], 50)
    for start in range(0, counts.shape[1], width):
        block = np.ascontiguousarray(counts[:, start : start + width])
        own, below = positives @ block, negatives @ block  # (K, w), (K + 1, w)
        np.cumsum(below, axis=0, out=below)
        won = np.einsum("kw,kw->w", own, below[:-1], dtype=np.float64)
        pairs = own.sum(axis=0, dtype=np.float64) * below[-1]
        found.append(np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan))
    return np.concatenate(found)


def _steps(
    present: Array, scores: Array, owner: Counts, patients: int
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Count images by patient and by the K distinct scores of the positives, rising.

    Returns:
        Positives at each score (K, P). Negatives below the first score, between two, above the
        last (K + 1, P); one that equals a score counts half below it and half above.
    """
    distinct, step = np.unique(scores[present], return_inverse=True)
    absent, own = scores[~present], owner[~present]
    sides = [np.searchsorted(distinct, absent, side) for side in ("left", "right")]
    halves = np.full(2 * len(absent), 0.5, np.float32)
    ones = np.ones(len(step), np.float32)
    shape = len(distinct), patients
    return (
        sparse.csr_array((ones, (step, owner[present])), shape=shape),
        sparse.csr_array(
            (halves, (np.concatenate(sides), np.tile(own, 2))), shape=(shape[0] + 1, patients)
        ),
    )
