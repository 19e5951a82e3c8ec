"""Intervals by resampling patients, never images: images of one patient are not independent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from cxr14.metrics.auroc import Array, Counts, Floats

N_REPLICATES = 1000
SEED = 14
MAX_DROPPED_SHARE = 0.05
BLOCK_SIZE = 100  # resamples held in memory at once: 100 × 25,596 counts are 20 MB

ENDS: Final = ("", "_low", "_high")
"""What names of columns and keys end in: the score, and the ends of its interval."""


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
    counts = generator.multinomial(len(distinct), share, size=resamples)  # (R, patients)
    return counts[:, patient_of_image]


def weightings(
    patients: Array, generator: np.random.Generator, resamples: int = N_REPLICATES
) -> Iterator[Counts]:
    """Yield weights (·, N) in blocks: every image once, then ``resamples`` draws.

    Whoever scores several things under the same blocks compares them on the same patients.
    """
    yield np.ones((1, len(patients)), np.int64)
    for start in range(0, resamples, BLOCK_SIZE):
        yield patient_weights(patients, min(BLOCK_SIZE, resamples - start), generator)


def interval(values: Floats) -> tuple[float | None, float | None, float]:
    """95 % percentile interval of resampled values, unless too many could not be scored.

    The rule, fixed once: a resample that leaves nothing to score (NaN) is counted and left out;
    above 5 % of them there is no interval, for those that remain are the lucky ones.

    Args:
        values: (R,), NaN where a resample could not be scored.

    Returns:
        Low end, high end (None without an interval), and the share left out in [0, 1].
    """
    lost = np.isnan(values)
    left_out = float(lost.mean()) if len(values) else 1.0
    if left_out > MAX_DROPPED_SHARE:
        return None, None, left_out
    low, high = np.percentile(values[~lost], [2.5, 97.5])
    return float(low), float(high), left_out


def bias_corrected(values: Floats) -> Floats:
    """Shift resampled values (1 + R,) so that their mean is the first, that of the part itself.

    For an error that chance raises: every replicate raises it again, so plain percentiles are
    above the value (bias as the bootstrap estimates it: Efron and Tibshirani 1993, chapter 10).

    Returns:
        (R,), at least 0; NaN stays NaN.
    """
    replicates = values[1:]
    known = replicates[~np.isnan(replicates)]
    bias = known.mean() - values[0] if len(known) else 0.0
    return np.maximum(replicates - bias, 0.0)


# Measures under many weightings of the images at once, as the bootstrap needs them.
#
# A weighting says how often each image counts. Scores are sorted once; a weighting then costs one
# sum per image and one running sum over the positives. Weights are whole numbers and their sums
# stay far below 2⁵³, so float64 holds every count exactly.


@dataclass(frozen=True)
class SortedScores:
    """The images around the K distinct scores that positives have, from the highest down.

    Attributes:
        positives: sparse (K, N), how many entries of image n are positives with score k.
        negatives: (K, N), negatives with score k, or between it and the score above.
        tied: (K, N), negatives with exactly score k.
        all_negatives: (N,), also those below the last positive.
    """

    positives: sparse.csr_array
    negatives: sparse.csr_array
    tied: sparse.csr_array
    all_negatives: Floats

    def auroc_and_ap(self, weights: Array) -> tuple[Floats, Floats]:
        """Return AUROC and average precision under each weighting.

        AUROC is the share of (positive, negative) pairs in the right order, a tie counting one
        half (Mann and Whitney 1947); average precision is the mean, over the positives, of the
        precision if everything from their score upwards is called.

        Args:
            weights: (R, N), how often each image counts. Float64 in Fortran order saves a copy.

        Returns:
            Two (R,) in [0, 1]; NaN where a weighting leaves no positives or no negatives.
        """
        by_image = np.ascontiguousarray(weights.T, np.float64)  # (N, R)
        positive_counts = self.positives @ by_image  # (K, R)
        called_negatives = np.cumsum(self.negatives @ by_image, axis=0)
        negatives, positives = self.all_negatives @ by_image, positive_counts.sum(axis=0)  # (R,)
        correct_pairs = np.einsum("kr,kr->r", positive_counts, negatives - called_negatives)
        if self.tied.nnz:
            correct_pairs += np.einsum("kr,kr->r", positive_counts, self.tied @ by_image) / 2
        called_positives = np.cumsum(positive_counts, axis=0)
        called_negatives += called_positives  # now all that is called
        np.divide(called_positives, np.maximum(called_negatives, 1), out=called_positives)
        precision_sums = np.einsum("kr,kr->r", positive_counts, called_positives)
        known = (positives > 0) & (negatives > 0)
        return (
            np.where(known, correct_pairs / np.maximum(positives * negatives, 1), np.nan),
            np.where(known, precision_sums / np.maximum(positives, 1), np.nan),
        )


def sort_scores(labels: Array, scores: Array) -> SortedScores:
    """Sort images by their scores, once for all weightings.

    Args:
        labels: (N,) of 0 and 1; or (N, C), pooled: every entry counts, with its image's weight.
        scores: of the same shape, finite.
    """
    images = len(labels)
    present, falling = (labels > 0).ravel(), -scores.ravel()
    image = np.repeat(np.arange(images), present.size // max(images, 1))
    positives, negatives = np.flatnonzero(present), np.flatnonzero(~present)
    levels, level = np.unique(falling[positives], return_inverse=True)

    def counts(rows: Array, entries: Array) -> sparse.csr_array:
        ones = np.ones(len(rows))
        return sparse.csr_array((ones, (rows, image[entries])), shape=(len(levels), images))

    indices = np.searchsorted(levels, falling[negatives], side="left")
    above = indices < len(levels)
    indices, called = indices[above], negatives[above]
    tied = levels[indices] == falling[called]
    total = np.bincount(image[negatives], minlength=images).astype(np.float64)
    return SortedScores(
        counts(level, positives),
        counts(indices, called),
        counts(indices[tied], called[tied]),
        total,
    )


def weighted_auroc_and_ap(labels: Array, scores: Array, weights: Array) -> tuple[Floats, Floats]:
    """Return AUROC and average precision of one finding, (R,) each.

    See :meth:`SortedScores.auroc_and_ap`.
    """
    return sort_scores(labels, scores).auroc_and_ap(weights)


@dataclass(frozen=True)
class ConfusionCounts:
    """What calling images positive came to, each (R, C), weighted counts.

    Attributes:
        hits: positives that were called.
        calls: images that were called.
        positives: images with the finding.
        images: all images.
    """

    hits: Floats
    calls: Floats
    positives: Floats
    images: Floats

    def measures(self) -> dict[str, Floats]:
        """F1, precision, recall and specificity, (R, C) in [0, 1]; NaN without both classes.

        Precision is also NaN where nothing is called.
        """
        negatives = self.images - self.positives
        known = (self.positives > 0) & (negatives > 0)
        wrong = self.calls - self.hits
        return {
            "f1": _share(2 * self.hits, self.calls + self.positives, known),
            "precision": _share(self.hits, self.calls, known & (self.calls > 0)),
            "recall": _share(self.hits, self.positives, known),
            "specificity": _share(negatives - wrong, negatives, known),
        }

    def pooled(self, columns: Array) -> "ConfusionCounts":
        """Sum over some of the C columns: (R, 1), for the micro mean."""
        return ConfusionCounts(
            *(one[:, columns].sum(axis=1, keepdims=True) for one in self._counts())
        )

    def _counts(self) -> tuple[Floats, ...]:
        return self.hits, self.calls, self.positives, self.images


def weighted_confusion_counts(labels: Array, called: Array, weights: Array) -> ConfusionCounts:
    """Count hits, calls and positives under each weighting.

    Args:
        labels: (N, C) of 0 and 1.
        called: (N, C) bool.
        weights: (R, N), how often each image counts.
    """
    present, counted = labels > 0, np.asarray(weights, np.float64)
    masks = (called & present, called, present, np.ones_like(present))
    return ConfusionCounts(*(counted @ mask.astype(np.float64) for mask in masks))


def _share(part: Floats, whole: Floats, known: Array) -> Floats:
    return np.where(known, part / np.maximum(whole, 1), np.nan)


def as_fortran(weights: Counts) -> Floats:
    """Lay (R, N) whole weights out as :meth:`SortedScores.auroc_and_ap` reads them fastest."""
    return np.asfortranarray(weights, np.float64)


# Bootstrap replicates of patients, shared by all comparisons.
#
# A resample is kept as a count per patient, not per image: what is added up over a patient's images
# is added up once, and then weighed a thousand times.


@dataclass(frozen=True)
class Replicates:
    """Draws of P patients, R times, and before them the weighting that counts everyone once.

    Attributes:
        owner: (N,) which of the P patients each image is of.
        counts: (P, 1 + R) float32, how often each patient counts; whole numbers, so sums of them
            are exact below 16 million images.
    """

    owner: Counts
    counts: Array

    def by_image(self) -> Iterator[Floats]:
        """Yield how often each image counts, some weightings (w, N) at a time."""
        for start in range(0, self.counts.shape[1], BLOCK_SIZE):
            yield as_fortran(self.counts[self.owner, start : start + BLOCK_SIZE].T)


def draw_replicates(
    patients: Array, generator: np.random.Generator, resamples: int = N_REPLICATES
) -> Replicates:
    """Draw resamples of the patients (N,) of N images; of a single patient none.

    With one generator the draws are those of ``cxr14.metrics.bootstrap.patient_weights``, so
    intervals are the ones that evaluation gives.
    """
    distinct, owner = np.unique(patients, return_inverse=True)
    everyone = np.arange(len(distinct))
    blocks = [np.ones((1, len(distinct)), np.int64)]
    for start in range(0, resamples if len(distinct) > 1 else 0, BLOCK_SIZE):
        blocks.append(patient_weights(everyone, min(BLOCK_SIZE, resamples - start), generator))
    counts = np.ascontiguousarray(np.concatenate(blocks).T, np.float32)
    return Replicates(owner.astype(np.int64), counts)


def patients_by_class(present: Array, owner: Counts) -> Counts:
    """Count the distinct patients of the images that have each class.

    Args:
        present: (n, C) bool.
        owner: (n,) the patient of each image.

    Returns:
        (C,).
    """
    patients = [np.count_nonzero(np.bincount(owner[column])) for column in present.T]
    return np.array(patients, np.int64)


def weighted_sums(values: Array, owner: Counts, counts: Array) -> Floats:
    """Add up K columns over images under every weighting.

    Args:
        values: (n, K) of n images.
        owner: (n,) their patients, rows of ``counts``.
        counts: (P, W), see :class:`Replicates`.

    Returns:
        (W, K).
    """
    patients, indices = np.unique(owner, return_inverse=True)
    cells = indices[:, None] * values.shape[1] + np.arange(values.shape[1])
    size = len(patients) * values.shape[1]
    by_patient = np.bincount(cells.ravel(), values.ravel(), size).reshape(len(patients), -1)
    return np.asarray(counts[patients].T.astype(np.float64) @ by_patient)
