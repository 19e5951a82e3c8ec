"""Values and differences with 95 % intervals, from the value on all images and its replicates."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import ENDS, interval

FIXED: Final = "one side is the same in every resample"

Score = tuple[float | None, float | None, float | None, float | None]
"""A value, its interval, the share of dropped replicates; None where missing."""


def mean_over(values: Floats) -> Floats:
    """Mean over those classes that can be scored on all images, (1 + R, k) to (1 + R,).

    NaN in a replicate that cannot score one of them, and if there are none.
    """
    known = np.isfinite(values[0])
    return values[:, known].mean(axis=1) if known.any() else np.full(len(values), np.nan)


def difference(first: Floats, second: Floats) -> Floats:
    """Return first minus second, (1 + R,), or (1,), without replicates, if either never varies.

    A rate of 0 of 18 images is 0 in every replicate, so the interval of the difference would be too
    narrow.
    """
    values = first - second
    constant = any(len(np.unique(side[np.isfinite(side)])) < 2 for side in (first, second))
    return values[:1] if constant else values


def summary(values: Floats) -> Score:
    """Return the value on all images, and its 95 % interval.

    Args:
        values: (1 + R,): on all images, then by replicate; (1,) has no interval.
    """
    if not np.isfinite(values[0]):
        return None, None, None, None
    if len(values) == 1:
        return float(values[0]), None, None, None
    return float(values[0]), *interval(values[1:])


def interval_columns(values: Mapping[str, Floats]) -> dict[str, float | None]:
    """Return measures, each (1 + R,), as columns ``auroc``, ``auroc_low``, ``auroc_high``, …"""
    return {
        f"{name}{end}": value
        for name, measured in values.items()
        for end, value in zip(ENDS, summary(measured), strict=False)
    }


def without_interval(differences: Mapping[str, Floats]) -> str | None:
    """Return which differences have a value but no interval (see :func:`difference`), or None."""
    fixed = [
        name for name, values in differences.items() if len(values) == 1 and np.isfinite(values[0])
    ]
    return f"no interval of {', '.join(fixed)}: {FIXED}" if fixed else None
