"""Measures under many weightings of the images at once, as the bootstrap needs them.

A weighting says how often each image counts. Scores are sorted once; a weighting then costs one
sum per image and one running sum over the positives. Weights are whole numbers and their sums stay
far below 2⁵³, so float64 holds every count exactly.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cxr14.ranking import Array, Counts, Floats


@dataclass(frozen=True)
class Ranking:
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

    def areas(self, weights: Array) -> tuple[Floats, Floats]:
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
        own = self.positives @ by_image  # (K, R)
        called_negatives = np.cumsum(self.negatives @ by_image, axis=0)
        negatives, positives = self.all_negatives @ by_image, own.sum(axis=0)  # (R,)
        won = np.einsum("kr,kr->r", own, negatives - called_negatives)
        if self.tied.nnz:
            won += np.einsum("kr,kr->r", own, self.tied @ by_image) / 2
        called_positives = np.cumsum(own, axis=0)
        called_negatives += called_positives  # now all that is called
        np.divide(called_positives, np.maximum(called_negatives, 1), out=called_positives)
        gained = np.einsum("kr,kr->r", own, called_positives)
        known = (positives > 0) & (negatives > 0)
        return (
            np.where(known, won / np.maximum(positives * negatives, 1), np.nan),
            np.where(known, gained / np.maximum(positives, 1), np.nan),
        )


def rank(labels: Array, scores: Array) -> Ranking:
    """Sort images by their scores, once for all weightings.

    Args:
        labels: (N,) of 0 and 1; or (N, C), pooled: every entry counts, with its image's weight.
        scores: of the same shape, finite.
    """
    images = len(labels)
    present, falling = (labels > 0).ravel(), -scores.ravel()
    image = np.repeat(np.arange(images), present.size // max(images, 1))
    own, other = np.flatnonzero(present), np.flatnonzero(~present)
    levels, level = np.unique(falling[own], return_inverse=True)

    def counts(rows: Array, entries: Array) -> sparse.csr_array:
        ones = np.ones(len(rows))
        return sparse.csr_array((ones, (rows, image[entries])), shape=(len(levels), images))

    at = np.searchsorted(levels, falling[other], side="left")
    above = at < len(levels)
    at, called = at[above], other[above]
    tied = levels[at] == falling[called]
    total = np.bincount(image[other], minlength=images).astype(np.float64)
    return Ranking(counts(level, own), counts(at, called), counts(at[tied], called[tied]), total)


def weighted_areas(labels: Array, scores: Array, weights: Array) -> tuple[Floats, Floats]:
    """Return AUROC and average precision of one finding, (R,) each: see :meth:`Ranking.areas`."""
    return rank(labels, scores).areas(weights)


@dataclass(frozen=True)
class Calls:
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

    def pooled(self, columns: Array) -> "Calls":
        """Sum over some of the C columns: (R, 1), for the micro mean."""
        return Calls(*(one[:, columns].sum(axis=1, keepdims=True) for one in self._counts()))

    def _counts(self) -> tuple[Floats, ...]:
        return self.hits, self.calls, self.positives, self.images


def weighted_calls(labels: Array, called: Array, weights: Array) -> Calls:
    """Count hits, calls and positives under each weighting.

    Args:
        labels: (N, C) of 0 and 1.
        called: (N, C) bool.
        weights: (R, N), how often each image counts.
    """
    present, counted = labels > 0, np.asarray(weights, np.float64)
    masks = (called & present, called, present, np.ones_like(present))
    return Calls(*(counted @ mask.astype(np.float64) for mask in masks))


def _share(part: Floats, whole: Floats, known: Array) -> Floats:
    return np.where(known, part / np.maximum(whole, 1), np.nan)


def as_counts(weights: Counts) -> Floats:
    """Lay (R, N) whole weights out as :meth:`Ranking.areas` reads them fastest."""
    return np.asfortranarray(weights, np.float64)
