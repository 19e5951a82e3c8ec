"""Means of scores by finding and over findings, with intervals."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import interval


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

    The mean is over the findings that have pairs. A replicate without any pair of a finding is
    dropped for that finding and for the mean (see bootstrap.interval).

    Args:
        values: (P, K) numbers or booleans.
        finding_of_pair: (P,) names.
        findings: F names; one without pairs is NaN, and not in the mean.
        weights: (R, P) how often each pair counts in each replicate.
    """
    low, high = _intervals(by_finding(values, finding_of_pair, findings, weights))
    return Means(plain_means(values, finding_of_pair, findings), low, high)


def plain_means(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
) -> Floats:
    """Average as :func:`means_by_finding`, without intervals: (F + 1, K)."""
    once = np.ones((1, len(values)), np.int64)
    return np.asarray(by_finding(values, finding_of_pair, findings, once)[0])


def by_finding(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
    weights: npt.NDArray[np.int64],
) -> Floats:
    """Weighted means by finding and their mean, under each of R weightings: (R, F + 1, K)."""
    numbers, means = values.astype(np.float64), []
    for name in findings:
        indices = np.flatnonzero(finding_of_pair == name)
        count = weights[:, indices].sum(axis=1, keepdims=True)  # (R, 1)
        mean = weights[:, indices] @ numbers[indices] / np.maximum(count, 1)
        means.append(np.where(count > 0, mean, np.nan))
    stacked = np.stack(means, axis=-1)  # (R, K, F)
    known = np.isin(findings, finding_of_pair)
    mean = np.full(stacked.shape[:2], np.nan)
    if known.any():
        mean = stacked[..., known].mean(axis=-1)
    return np.concatenate([stacked, mean[..., None]], axis=-1).transpose(0, 2, 1)


def _intervals(resampled: Floats) -> tuple[Floats, Floats]:
    """Low and high end of the intervals of (R, F + 1, K), NaN where there is none."""
    ends = np.full((2, *resampled.shape[1:]), np.nan)
    whole = ~np.isnan(resampled).any(axis=0)
    if len(resampled) and whole.any():
        ends[:, whole] = np.percentile(resampled[:, whole], [2.5, 97.5], axis=0)
    for row, column in zip(*np.nonzero(~whole), strict=True):  # with dropped replicates
        ends[:, row, column] = np.array(interval(resampled[:, row, column])[:2], np.float64)
    return ends[0], ends[1]


Z: Final = 1.959964  # 97.5 % quantile of the standard normal distribution


def wilson_interval(share: Floats, n: Floats) -> tuple[Floats, Floats]:
    """95 % score interval of proportions (…) of n cases (Wilson 1927, J. Am. Stat. Assoc. 22).

    At 0 and 1, where a bootstrap interval has no width, it is [0, z² / (n + z²)] and its mirror.
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
