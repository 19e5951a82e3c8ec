"""Intervals by resampling patients, never images: images of one patient are not independent."""

from collections.abc import Sequence

import numpy as np

from cxr14.findings import CLASSES, NO_FINDING
from cxr14.ranking import Array, Counts, Floats, scorable

RESAMPLES = 1000
SEED = 14
MOST_LEFT_OUT = 0.05
AT_A_TIME = 100  # resamples held in memory at once: 100 × 25,596 counts are 20 MB


def patient_weights(patients: Array, resamples: int, generator: np.random.Generator) -> Counts:
    """Draw as many patients as there are, with replacement, and count each image.

    Args:
        patients: (N,) the patient of each image.
        resamples: how many draws, R.
        generator: source of the draws.

    Returns:
        (R, N) int64: how often each image counts; equal for all images of a patient.
    """
    distinct, patient_of_image = np.unique(patients, return_inverse=True)
    share = np.full(len(distinct), 1 / max(len(distinct), 1))
    drawn = generator.multinomial(len(distinct), share, size=resamples)  # (R, patients)
    return drawn[:, patient_of_image]


def macro_auroc_interval(
    labels: Array,
    scores: Array,
    patients: Array,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    classes: Sequence[str] = CLASSES,
) -> tuple[float | None, float | None]:
    """95 % percentile interval of the macro AUROC over the findings among the classes.

    A finding that a resample leaves without positives or negatives is left out of that
    resample's mean.

    Args:
        labels: (N, C) of 0 and 1.
        scores: (N, C) logits.
        patients: (N,).
        generator: source of the draws.
        resamples: how many.
        classes: C names of the columns.

    Returns:
        Low and high end, or (None, None) if no finding can be scored.
    """
    named = enumerate(classes)
    columns = [i for i, name in named if name != NO_FINDING and scorable(labels[:, i])]
    if not columns:
        return None, None
    means = []
    for start in range(0, resamples, AT_A_TIME):
        weights = patient_weights(patients, min(AT_A_TIME, resamples - start), generator)
        areas = [
            weighted_aurocs(labels[:, column], scores[:, column], weights) for column in columns
        ]
        means.append(mean_ignoring_nan(np.stack(areas, axis=1)))
    return percentile_interval(np.concatenate(means))


def weighted_aurocs(labels: Array, scores: Array, weights: Counts) -> Floats:
    """AUROC of one finding under many weightings of the images at once.

    The negatives are sorted once; each weighting then costs one running sum, from which every
    positive reads how many negatives lie below it (an equal score counts one half).

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) finite.
        weights: (R, N) int, how often each image counts.

    Returns:
        (R,) in [0, 1]; NaN where a weighting leaves no positives or no negatives.
    """
    present = labels > 0
    positives, negatives = np.flatnonzero(present), np.flatnonzero(~present)
    negatives = negatives[np.argsort(scores[negatives], kind="stable")]
    lower = np.searchsorted(scores[negatives], scores[positives], side="left")
    upper = np.searchsorted(scores[negatives], scores[positives], side="right")
    running = np.zeros((len(weights), len(negatives) + 1), np.int64)
    np.cumsum(weights[:, negatives], axis=1, out=running[:, 1:])
    won = weights[:, positives]
    doubled = (won * (running[:, lower] + running[:, upper])).sum(axis=1)
    pairs = won.sum(axis=1) * running[:, -1]
    return np.where(pairs > 0, doubled / (2 * np.maximum(pairs, 1)), np.nan)


def mean_ignoring_nan(values: Floats) -> Floats:
    """Mean over the last axis of (R, F) without NaN; NaN for a row of nothing else."""
    known = ~np.isnan(values)
    counts = known.sum(axis=-1)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def percentile_interval(values: Floats) -> tuple[float | None, float | None]:
    """2.5th and 97.5th percentile of (R,) resampled values, NaN left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def interval(values: Floats) -> tuple[float | None, float | None, float]:
    """95 % percentile interval of resampled values, unless too many could not be scored.

    The rule, fixed once: a resample that leaves nothing to score (NaN) is counted and left out;
    above 5 % of them there is no interval, for those that remain are the lucky ones.

    Args:
        values: (R,), NaN where a resample could not be scored.

    Returns:
        Low end, high end (None without an interval), and the share left out in [0, 1].
    """
    left_out = float(np.isnan(values).mean()) if len(values) else 1.0
    low, high = percentile_interval(values) if left_out <= MOST_LEFT_OUT else (None, None)
    return low, high, left_out
