"""Do probabilities mean what they say? Brier score, calibration error, and the bins behind it."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.ranking import Array, Floats

BINS = 10
"""Of equal mass: a rare finding has nearly all its probabilities in the first of ten bins of equal
width, and whatever those say, one bin averages it away. Ten leave some twenty of the default run's
test images in each."""


def brier(labels: Array, probabilities: Array) -> float:
    """Mean of (probability − label)² over N ≥ 1 images (Brier 1950), in [0, 1]."""
    return float(np.mean((probabilities.astype(np.float64) - (labels > 0)) ** 2))


def equal_mass_bins(probabilities: Array, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Place each image in a bin by the rank of its probability.

    Equal probabilities share a bin, so neither the order of the images nor a sort decides; bins
    are then of unequal mass, and some are empty.

    Args:
        probabilities: (N,).
        bins: how many.

    Returns:
        (N,) in 0 … bins − 1, higher for higher probabilities.
    """
    below = np.searchsorted(np.sort(probabilities), probabilities, side="left")
    return np.asarray(below * bins // max(len(probabilities), 1), np.int64)


def reliability_table(labels: Array, probabilities: Array, bins: int = BINS) -> pd.DataFrame:
    """Compare what was predicted with what was observed, in bins of equal mass.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].
        bins: how many at most.

    Returns:
        A row per bin that holds images, by rising probability: predicted (mean probability),
        observed (share of positives), images.
    """
    own = equal_mass_bins(probabilities, bins)
    images = np.bincount(own, minlength=bins)
    sums = (
        np.bincount(own, values, bins) for values in (probabilities.astype(np.float64), labels > 0)
    )
    predicted, observed = (np.divide(one, np.maximum(images, 1)) for one in sums)
    table = pd.DataFrame({"predicted": predicted, "observed": observed, "images": images})
    return table[table["images"] > 0].reset_index(drop=True)


def calibration_error(labels: Array, probabilities: Array, bins: int = BINS) -> float:
    """Mean of |predicted − observed| over the bins, weighted by their images: the ECE.

    Naeini, Cooper and Hauskrecht 2015; equal mass: Nguyen and O'Connor 2015. Chance alone puts
    it above 0: for a perfect forecast near p by about √(2p(1 − p)·bins / (πN)).

    Args:
        labels: (N,) of 0 and 1, N ≥ 1.
        probabilities: (N,) in [0, 1].
        bins: how many at most.

    Returns:
        In [0, 1].
    """
    table = reliability_table(labels, probabilities, bins)
    gaps = (table["predicted"] - table["observed"]).abs()
    return float((gaps * table["images"]).sum() / table["images"].sum())


def weighted_calibration_errors(labels: Array, probabilities: Array, weights: Floats) -> Floats:
    """ECE under many weightings of the images at once, in the bins of the images themselves.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].
        weights: (R, N), how often each image counts.

    Returns:
        (R,) in [0, 1]; for weights of 1 that of :func:`calibration_error`.
    """
    excess = np.zeros((len(labels), BINS))
    excess[np.arange(len(labels)), equal_mass_bins(probabilities)] = probabilities - (labels > 0)
    gaps = np.abs(weights @ excess)  # (R, bins)
    return np.asarray(gaps.sum(axis=1) / np.maximum(weights.sum(axis=1), 1))
