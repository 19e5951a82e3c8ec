"""AUROC and average precision under any number of weightings, and DeLong's interval of an AUROC.

Counts of images are whole numbers and counts of pairs whole or half ones. Floats hold both exactly,
so an AUROC is the exact share of pairs, rounded once, in training, evaluation and bootstrap.

A label is 1, 0, or below 0 where it is unknown; such images count as neither positive nor negative.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import ndtri

from cxr14.labels import CLASSES, NO_FINDING

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BLOCK_SIZE = 250_000
"""Elements of a weighted curve: one megabyte of float32, which stays in the processor's cache."""


def scorable(labels: Array) -> bool:
    """Whether labels (N,) hold both positives and negatives."""
    return bool((labels > 0).any() and (labels == 0).any())


def known_only(labels: Array, *values: Array) -> tuple[Array, ...]:
    """Return labels and values (N,) of the images whose label is known."""
    known = labels >= 0
    return (labels, *values) if known.all() else tuple(array[known] for array in (labels, *values))


def confusion_curve(labels: Array, scores: Array) -> tuple[Array, Counts, Counts]:
    """Count true and false positives at every distinct score.

    Args:
        labels: (N,), 1 where the finding is present, else 0.
        scores: (N,), higher means more likely; finite.

    Returns:
        The K distinct scores in descending order, and the true and the false positives (K,) with
        each of them as the threshold.
    """
    labels, scores = known_only(labels, scores)
    order = np.argsort(scores, kind="stable")[::-1]
    descending = scores[order]
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: len(descending)])
    true_positives = np.cumsum(labels[order] > 0, dtype=np.int64)[last]
    return descending[last], true_positives, last + 1 - true_positives


def auroc(labels: Array, scores: Array) -> float | None:
    """Area under the ROC curve of one finding; None without positives or without negatives.

    Args:
        labels: (N,), 1 where the finding is present, else 0.
        scores: (N,), higher means more likely; finite.
    """
    once = np.ones((len(labels), 1), np.float32)
    values = weighted_auroc(labels[:, None], scores[:, None], np.arange(len(labels)), once)
    return None if np.isnan(values).any() else float(values[0, 0])


def macro_auroc(
    labels: Array, scores: Array, classes: Sequence[str] = CLASSES
) -> tuple[float | None, int]:
    """Mean AUROC over the findings that can be scored, without No Finding.

    Args:
        labels: (N, C) of 0 and 1.
        scores: (N, C) logits or probabilities.
        classes: C names of the columns.

    Returns:
        The mean in [0, 1], None if no finding can be scored, and the number of findings in it.
    """
    columns = zip(classes, labels.T, scores.T, strict=True)
    return mean_over_scored(
        [auroc(targets, outputs) for name, targets, outputs in columns if name != NO_FINDING]
    )


def mean_over_scored(values: list[float | None]) -> tuple[float | None, int]:
    """Mean of the values that are not None (None if all are), and their number."""
    scored = [value for value in values if value is not None]
    return (float(np.mean(scored)) if scored else None), len(scored)


def weighted_auroc(labels: Array, scores: Array, owner: Counts, weights: Array) -> Floats:
    """AUROC of each finding under each weighting.

    Args:
        labels: (N, C) of 0 and 1.
        scores: (N, C) finite.
        owner: (N,) the row of ``weights`` for each image, for example its patient.
        weights: (P, W) float32, how often each patient counts. Whole numbers; sums of them are
            exact below 2²⁴.

    Returns:
        (W, C) in [0, 1]; NaN where a weighting leaves no positives or no negatives.
    """
    return _by_class([WeightedCurve.auroc], labels, scores, owner, weights)[0]


def weighted_auroc_and_ap(
    labels: Array, scores: Array, owner: Counts, weights: Array
) -> tuple[Floats, Floats]:
    """AUROC and average precision of each finding; see :func:`weighted_auroc`."""
    measures = [WeightedCurve.auroc, WeightedCurve.average_precision]
    aurocs, precisions = _by_class(measures, labels, scores, owner, weights)
    return aurocs, precisions


@dataclass(frozen=True)
class WeightedCurve:
    """Positives and negatives at the K distinct scores of the positives, under W weightings.

    Attributes:
        positives: (K, W) positives with each score, in descending order.
        called_negatives: (K, W) negatives with at least that score.
        tied_negatives: (K, W) negatives with exactly that score; None if no score is tied.
        negatives: (W,) all negatives.
    """

    positives: Array
    called_negatives: Array
    tied_negatives: Array | None
    negatives: Array

    def auroc(self) -> Floats:
        """Share of (positive, negative) pairs in the right order, ties counting one half, (W,).

        This is the area by the trapezoid rule (Mann and Whitney 1947).
        """
        pairs = self.positives.sum(axis=0, dtype=np.float64) * self.negatives
        correct = pairs - _dot(self.positives, self.called_negatives)
        if self.tied_negatives is not None:
            correct += _dot(self.positives, self.tied_negatives) / 2
        return np.where(pairs > 0, correct / np.maximum(pairs, 1), np.nan)

    def average_precision(self) -> Floats:
        """Mean, over the positives, of the precision if their score is the threshold, (W,)."""
        called_positives = np.cumsum(self.positives, axis=0, dtype=np.float64)
        precision = called_positives + self.called_negatives
        np.divide(called_positives, np.maximum(precision, 1), out=precision)
        positives = self.positives.sum(axis=0, dtype=np.float64)
        known = (positives > 0) & (self.negatives > 0)
        return np.where(known, _dot(self.positives, precision) / np.maximum(positives, 1), np.nan)


def weighted_curves(
    labels: Array, scores: Array, owner: Counts, weights: Array
) -> Iterator[WeightedCurve]:
    """Yield the curve of one finding, some weightings at a time.

    Scores are sorted once. A sparse table of scores × patients, times the weights of the patients,
    then gives the counts of all weightings.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) finite.
        owner: (N,), see :func:`weighted_auroc`.
        weights: (P, W), see :func:`weighted_auroc`.
    """
    present, absent = labels > 0, labels == 0
    levels, level = np.unique(-scores[present], return_inverse=True)
    negatives, negatives_owner = -scores[absent], owner[absent]
    step = np.searchsorted(levels, negatives, side="left")  # K below the last positive
    tied = np.append(levels, np.nan)[step] == negatives

    def table(steps: Array, owners: Array) -> sparse.csr_array:
        entries = np.ones(len(steps), np.float32), (steps, owners)
        return sparse.csr_array(entries, shape=(len(levels) + 1, len(weights)))

    positive_table, negative_table = table(level, owner[present]), table(step, negatives_owner)
    tied_table = table(step[tied], negatives_owner[tied]) if tied.any() else None
    width = max(BLOCK_SIZE // (len(levels) + 1), 50)
    for start in range(0, weights.shape[1], width):
        block = np.ascontiguousarray(weights[:, start : start + width])
        called = np.cumsum(negative_table @ block, axis=0)
        yield WeightedCurve(
            (positive_table @ block)[:-1],
            called[:-1],
            None if tied_table is None else (tied_table @ block)[:-1],
            called[-1],
        )


def _by_class(
    measures: Sequence[Callable[[WeightedCurve], Floats]],
    labels: Array,
    scores: Array,
    owner: Counts,
    weights: Array,
) -> list[Floats]:
    """Compute measures of C findings under W weightings, (W, C) each."""
    shape = weights.shape[1], labels.shape[1]
    results = [np.empty(shape) for _ in measures]
    for column in range(shape[1]):
        curves = weighted_curves(labels[:, column], scores[:, column], owner, weights)
        blocks = [[measure(curve) for measure in measures] for curve in curves]
        for result, values in zip(results, np.concatenate(blocks, axis=1), strict=True):
            result[:, column] = values
    return results


def _dot(first: Array, second: Array) -> Floats:
    """Sum the products of (K, W) and (K, W) over K in float64."""
    return np.asarray(np.einsum("kw,kw->w", first, second, dtype=np.float64))


MIN_PER_CLASS = 2
"""Positives and negatives that DeLong's variance needs."""


def midranks(values: Array) -> Floats:
    """Rank (N,) values from 1, equal ones by their mean rank, (N,).

    As ``scipy.stats.rankdata``, whose import takes half a second.
    """
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[position], np.float64)


def delong(labels: Array, scores: Array) -> tuple[float, float] | None:
    """Return AUROC and its variance (DeLong, DeLong and Clarke-Pearson 1988).

    By midranks, in O(N log N) (Sun and Xu 2014, algorithm 2): the number of negatives below a
    positive is its rank among all images minus its rank among the positives.

    Args:
        labels: (N,) of 0 and 1, of independent images.
        scores: (N,).

    Returns:
        (area, variance); None with fewer than two positives or two negatives.
    """
    labels, scores = known_only(labels, scores)
    present = labels > 0
    positives, negatives = int(present.sum()), int((~present).sum())
    if min(positives, negatives) < MIN_PER_CLASS:
        return None
    ranks = midranks(scores)
    negatives_below = (ranks[present] - midranks(scores[present])) / negatives
    positives_below = (ranks[~present] - midranks(scores[~present])) / positives
    variance = np.var(negatives_below, ddof=1) / positives
    variance += np.var(positives_below, ddof=1) / negatives
    return float(negatives_below.mean()), float(variance)


def delong_interval(labels: Array, scores: Array) -> tuple[float | None, float | None]:
    """95 % interval by DeLong's variance, AUROC ± 1.96 standard errors, clipped to [0, 1].

    Args:
        labels: (N,) of 0 and 1, of independent images: one per patient.
        scores: (N,).

    Returns:
        Low and high end; (None, None) with fewer than two positives or negatives, and where the
        variance is 0 (every positive above every negative, or all scores equal).
    """
    estimate = delong(labels, scores)
    if estimate is None or estimate[1] == 0:
        return None, None
    half = float(ndtri(0.975) * np.sqrt(estimate[1]))
    return max(0.0, estimate[0] - half), min(1.0, estimate[0] + half)


def first_per_patient(patients: Array) -> Array:
    """Return the index of the first image of each patient (N,), sorted."""
    return np.sort(np.unique(patients, return_index=True)[1])
