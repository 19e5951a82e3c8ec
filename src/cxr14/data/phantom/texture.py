"""Smooth random fields, drawn once per process and cut at random places."""

from functools import lru_cache
from typing import Final

import numpy as np
from scipy import ndimage

from cxr14.data.phantom.ct import Floats

PERIOD: Final = 512


@lru_cache(maxsize=32)
def _field(tall_px: float, wide_px: float) -> Floats:
    """Periodic Gaussian field of mean 0 and deviation 1 with blobs of about this size."""
    white = np.random.default_rng(14).standard_normal((PERIOD, PERIOD), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, (tall_px, wide_px), mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


def blobs(
    rng: np.random.Generator, shape: tuple[int, int], tall_px: float, wide_px: float | None = None
) -> Floats:
    """Cut a random piece of a field with blobs of about ``tall_px`` × ``wide_px``."""
    field = _field(tall_px, tall_px if wide_px is None else wide_px)
    rows, columns = ((rng.integers(PERIOD) + np.arange(length)) % PERIOD for length in shape)
    flips = rng.integers(0, 2, 2) * 2 - 1
    return np.asarray(field[np.ix_(rows[:: flips[0]], columns[:: flips[1]])])


def strands(
    rng: np.random.Generator, shape: tuple[int, int], tall_px: float, wide_px: float | None = None
) -> Floats:
    """Thin winding lines in [0, 1]: where a field crosses zero."""
    return np.asarray(np.exp(-((blobs(rng, shape, tall_px, wide_px) / 0.3) ** 2)))
