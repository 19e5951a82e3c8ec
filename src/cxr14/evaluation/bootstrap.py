"""Intervals by resampling patients, never images: images of one patient are not independent."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from cxr14.ranking import Array, Counts, Floats

RESAMPLES = 1000
SEED = 14
MOST_LEFT_OUT = 0.05
AT_A_TIME = 100  # resamples held in memory at once: 100 × 25,596 counts are 20 MB

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
    drawn = generator.multinomial(len(distinct), share, size=resamples)  # (R, patients)
    return drawn[:, patient_of_image]


def weightings(
    patients: Array, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Iterator[Counts]:
    """Yield weights (·, N) in blocks: every image once, then ``resamples`` draws.

    Whoever scores several things under the same blocks compares them on the same patients.
    """
    yield np.ones((1, len(patients)), np.int64)
    for start in range(0, resamples, AT_A_TIME):
        yield patient_weights(patients, min(AT_A_TIME, resamples - start), generator)


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
    if left_out > MOST_LEFT_OUT:
        return None, None, left_out
    low, high = np.percentile(values[~lost], [2.5, 97.5])
    return float(low), float(high), left_out


def without_bias(values: Floats) -> Floats:
    """Shift resampled values (1 + R,) so that their mean is the first, that of the part itself.

    For an error that chance lifts: every resample lifts it anew, so plain percentiles lie above the
    value (bias as the bootstrap estimates it: Efron and Tibshirani 1993, chapter 10).

    Returns:
        (R,), at least 0; NaN stays NaN.
    """
    drawn = values[1:]
    known = drawn[~np.isnan(drawn)]
    bias = known.mean() - values[0] if len(known) else 0.0
    return np.maximum(drawn - bias, 0.0)
