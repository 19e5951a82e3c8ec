"""Random textures and soft edges of organs and findings."""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]

FIELD_PX: Final = 512
"""Period of the random fields. They are computed once per process and cropped at random."""


def smoothstep(ramp: npt.NDArray[Any]) -> Floats:
    """Cubic step from 0 to 1 of a ramp, which is clipped to [0, 1]."""
    t = np.clip(ramp, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def gaussian_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    height_px: float,
    width_px: float | None = None,
) -> Floats:
    """Crop a smooth Gaussian random field of mean 0 and standard deviation 1.

    Args:
        rng: source of the position and the flips of the crop.
        shape: height and width of the crop.
        height_px: standard deviation of the smoothing along columns.
        width_px: same, along rows; equal by default.
    """
    field = _periodic_field(height_px, height_px if width_px is None else width_px)
    rows, columns = ((rng.integers(FIELD_PX) + np.arange(length)) % FIELD_PX for length in shape)
    flips = rng.integers(0, 2, 2) * 2 - 1
    return np.asarray(field[np.ix_(rows[:: flips[0]], columns[:: flips[1]])])


def strands(
    rng: np.random.Generator,
    shape: tuple[int, int],
    height_px: float,
    width_px: float | None = None,
) -> Floats:
    """Thin winding lines in [0, 1]: the zero crossings of a :func:`gaussian_field`."""
    field = gaussian_field(rng, shape, height_px, width_px)
    return np.asarray(np.exp(-((field / 0.3) ** 2)))


@lru_cache(maxsize=32)
def _periodic_field(height_px: float, width_px: float) -> Floats:
    white = np.random.default_rng(14).standard_normal((FIELD_PX, FIELD_PX), dtype=np.float32)
    field = ndimage.gaussian_filter(white, (height_px, width_px), mode="wrap")
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)
