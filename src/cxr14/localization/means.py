"""Means by finding of a value per pair, with intervals by patient (NumPy only).

All figures of localisation are such means: of hits (accuracy), of false boxes (AFP), of the
pointing game, of the energy inside the box.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr14.evaluation.bootstrap import interval
from cxr14.ranking import Floats

MEAN: Final = "mean"
"""The last row of every table: the mean over the findings that have boxed images."""


class Means(NamedTuple):
    """Of F findings, then of their mean; NaN where there is nothing to average or no interval."""

    value: Floats  # (F + 1, K)
    low: Floats  # (F + 1, K)
    high: Floats  # (F + 1, K)


def means_by_finding(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
    weights: npt.NDArray[np.int64],
) -> Means:
    """Average K values of each pair by finding, and over findings.

    The mean is over the findings that have pairs. A resample that leaves one of them without any
    counts neither for that finding nor for the mean (see bootstrap.interval for what follows).

    Args:
        values: (P, K) numbers or truth values.
        finding_of_pair: (P,) names.
        findings: F names; one that no pair has is NaN, and not in the mean.
        weights: (R, P) how often each pair counts in each resample.
    """
    low, high = _intervals(_by_finding(values, finding_of_pair, findings, weights))
    return Means(plain_means(values, finding_of_pair, findings), low, high)


def plain_means(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
) -> Floats:
    """Average as :func:`means_by_finding`, without intervals: (F + 1, K)."""
    once = np.ones((1, len(values)), np.int64)
    return np.asarray(_by_finding(values, finding_of_pair, findings, once)[0])


def _by_finding(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
    weights: npt.NDArray[np.int64],
) -> Floats:
    """Weighted means by finding and their mean, under each of R weightings: (R, F + 1, K)."""
    numbers, means = values.astype(np.float64), []
    for name in findings:
        own = np.flatnonzero(finding_of_pair == name)
        count = weights[:, own].sum(axis=1, keepdims=True)  # (R, 1)
        mean = weights[:, own] @ numbers[own] / np.maximum(count, 1)
        means.append(np.where(count > 0, mean, np.nan))
    each = np.stack(means, axis=-1)  # (R, K, F)
    known = np.isin(findings, finding_of_pair)
    mean = each[..., known].mean(axis=-1) if known.any() else np.full(each.shape[:2], np.nan)
    return np.concatenate([each, mean[..., None]], axis=-1).transpose(0, 2, 1)


def _intervals(resampled: Floats) -> tuple[Floats, Floats]:
    """Low and high end of the intervals of (R, F + 1, K), NaN where there is none."""
    ends = np.full((*resampled.shape[1:], 2), np.nan)
    for row, column in np.ndindex(ends.shape[:2]):
        low, high, _ = interval(resampled[:, row, column])
        if low is not None:
            ends[row, column] = low, high
    return ends[..., 0], ends[..., 1]
