"""Findings that fill a box: each function returns millimetres of water on its patch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.phantoms.anatomy import Floats
from cxr14.phantoms.places import FrameBox
from cxr14.phantoms.scene import SIZE, Scene

# Smooth random fields, computed once per process and cropped at random positions.

PERIOD: Final = 512


@lru_cache(maxsize=32)
def _field(tall_px: float, wide_px: float) -> Floats:
    """Return a periodic Gaussian field of mean 0 and deviation 1 with blobs of this size."""
    white = np.random.default_rng(14).standard_normal((PERIOD, PERIOD), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, (tall_px, wide_px), mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


def blobs(
    rng: np.random.Generator, shape: tuple[int, int], tall_px: float, wide_px: float | None = None
) -> Floats:
    """Crop a random piece of a field with blobs of about ``tall_px`` × ``wide_px``."""
    field = _field(tall_px, tall_px if wide_px is None else wide_px)
    rows, columns = ((rng.integers(PERIOD) + np.arange(length)) % PERIOD for length in shape)
    flips = rng.integers(0, 2, 2) * 2 - 1
    return np.asarray(field[np.ix_(rows[:: flips[0]], columns[:: flips[1]])])


def strands(
    rng: np.random.Generator, shape: tuple[int, int], tall_px: float, wide_px: float | None = None
) -> Floats:
    """Return thin winding lines in [0, 1]: the zero crossings of a field."""
    return np.asarray(np.exp(-((blobs(rng, shape, tall_px, wide_px) / 0.3) ** 2)))


@dataclass(frozen=True)
class Patch:
    """The pixels of a box, with their coordinates.

    Attributes:
        rows, columns: slices of the frame.
        u, v: position across and down, from -1 to 1; (h, w).
        lung: share of a full lung along the ray, 0 to 1; (h, w).
        marks: millimetres of vessels; (h, w).
        mm: millimetres per px.
    """

    rows: slice
    columns: slice
    u: Floats
    v: Floats
    lung: Floats
    marks: Floats
    mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.u.shape[0], self.u.shape[1]

    def window(self, soft: float = 0.3) -> Floats:
        """Return a window: 1 in the middle, falling smoothly to 0 at the box's edges."""
        across, down = (smooth((1 - np.abs(axis)) / soft) for axis in (self.u, self.v))
        return np.asarray(across * down)

    def radius(self, uneven: Floats) -> Floats:
        """Return the distance from the middle of an uneven ellipse, 1 at its outline.

        The outline touches an edge of the box and crosses none: cut off, it would be straight.
        """
        distance = np.sqrt(self.u**2 + self.v**2) * uneven
        edge = np.maximum(np.abs(self.u), np.abs(self.v)) > 0.95
        return np.asarray(distance / np.min(distance[edge], initial=1.5))

    def blob(self, rng: np.random.Generator, rough: float, power: float = 3.0) -> Floats:
        """Return an uneven ellipse inside the box: 1 in the middle, 0 outside."""
        size_px = max(3.0, min(self.shape) / 6)
        uneven = 1 + rough * np.clip(blobs(rng, self.shape, round(size_px / 3) * 3.0), -2, 2)
        return np.asarray(np.clip(1 - self.radius(np.clip(uneven, 0.4, None)) ** power, 0, 1))


def smooth(ramp: npt.NDArray[Any]) -> Floats:
    """Smoothstep of a ramp from 0 to 1."""
    t = np.clip(ramp, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def patch(scene: Scene, box: FrameBox) -> Patch | None:
    """Crop a box (frame px: x, y, width, height) out of the scene; None if it is too small."""
    x0, y0, width, height = box
    x1, y1 = x0 + width, y0 + height
    rows = slice(max(0, int(np.ceil(y0))), min(SIZE, int(np.floor(y1)) + 1))
    columns = slice(max(0, int(np.ceil(x0))), min(SIZE, int(np.floor(x1)) + 1))
    if rows.stop - rows.start < 3 or columns.stop - columns.start < 3:
        return None
    v = (2 * (np.arange(rows.start, rows.stop) - y0) / (y1 - y0) - 1).astype(np.float32)
    u = (2 * (np.arange(columns.start, columns.stop) - x0) / (x1 - x0) - 1).astype(np.float32)
    grid_v, grid_u = np.meshgrid(v, u, indexing="ij")
    lung = np.clip(scene.lungs[rows, columns] / 50, 0, 1, dtype=np.float32)
    return Patch(rows, columns, grid_u, grid_v, lung, scene.marks[rows, columns], scene.mm)


def nodule(at: Patch, rng: np.random.Generator) -> Floats:
    """Return a small dense ball: the chord of a sphere, sometimes calcified."""
    radius_mm = min(at.shape) / 2 * at.mm
    chord = np.sqrt(np.clip(1 - at.u**2 - at.v**2, 0, None))
    dense = np.clip(6 * radius_mm, 60, 95) * rng.uniform(0.85, 1.3)
    return np.asarray(dense * chord**1.5 * at.window(0.12))


def mass(at: Patch, rng: np.random.Generator) -> Floats:
    """Return a large lump: the chord of an ellipsoid with a lobulated, slightly soft outline."""
    lobes = blobs(rng, at.shape, round(min(at.shape) / 15) * 3.0 + 3.0)
    radius = at.radius(1 + 0.14 * np.clip(lobes, -2, 2))
    chord = np.sqrt(np.clip(1 - radius**2, 0, None))
    dense = np.clip(1.5 * min(at.shape) * at.mm, 75, 120) * rng.uniform(0.85, 1.2)
    grain = 1 + 0.06 * blobs(rng, at.shape, 5.0)
    return np.asarray(dense * smooth(chord * 1.25) * grain)


def infiltration(at: Patch, rng: np.random.Generator) -> Floats:
    """Return a mild, ill-defined, patchy and streaky cloud."""
    cloud = np.clip(0.45 + 0.6 * blobs(rng, at.shape, 7.0), 0, 1.6)
    streaks = strands(rng, at.shape, 3.0, 4.0)
    dense = rng.uniform(28, 42) * cloud + rng.uniform(14, 24) * streaks
    return np.asarray(dense * at.blob(rng, 0.15) * _in_lung(at))


def consolidation(at: Patch, rng: np.random.Generator) -> Floats:
    """Return a dense, even opacity with dark bronchi beside the vessels."""
    bronchi = np.clip(at.marks / 7, 0, 1)
    body = smooth(at.blob(rng, 0.22) * 2)
    even = 1 + 0.08 * blobs(rng, at.shape, 5.0) - 0.8 * bronchi
    return np.asarray(rng.uniform(62, 86) * body * even * _in_lung(at))


def pneumonia(at: Patch, rng: np.random.Generator) -> Floats:
    """Return one focal patch with a fluffy edge, grainy inside."""
    grains = 0.8 + 0.3 * blobs(rng, at.shape, 4.0) + 0.3 * blobs(rng, at.shape, 11.0)
    body = at.blob(rng, 0.28)
    return np.asarray(rng.uniform(44, 62) * body * np.clip(grains, 0.1, None) * _in_lung(at))


def atelectasis(at: Patch, rng: np.random.Generator) -> Floats:
    """Return one to three plates in profile, over a slightly denser region."""
    out = rng.uniform(12, 24) * at.blob(rng, 0.2)
    count = int(rng.integers(1, 4))
    height_mm = at.shape[0] * at.mm
    for middle in np.linspace(-0.5, 0.5, count) if count > 1 else [rng.uniform(-0.3, 0.3)]:
        slope, bend = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
        line = middle + slope * at.u + bend * at.u**2
        thick = np.clip(rng.uniform(6, 11) / height_mm, 0.05, 0.4)
        out = out + rng.uniform(46, 70) * np.exp(-(((at.v - line) / thick) ** 2))
    return np.asarray(out * at.window(0.3) * _in_lung(at))


def hernia(at: Patch, rng: np.random.Generator) -> Floats:
    """Return a stomach behind the heart: a soft wall, fluid below and air above a level."""
    uneven = 1 + 0.07 * blobs(rng, at.shape, 18.0)
    radius = np.sqrt(at.u**2 + at.v**2) * uneven
    level = rng.uniform(-0.5, 0.3)
    inside = smooth((0.9 - radius) / 0.3)
    wall = np.exp(-(((radius - 0.74) / 0.13) ** 2))
    below = smooth((at.v - level) / 0.2)
    body = inside * (rng.uniform(36, 54) * below - rng.uniform(24, 40) * (1 - below))
    return np.asarray((body + rng.uniform(20, 32) * wall) * at.window(0.08))


def _in_lung(at: Patch) -> Floats:
    """Return the weight of airspace findings: 0.3 outside of the lung to 1 inside."""
    return np.asarray(0.3 + 0.7 * at.lung)


OPACITIES: Final[dict[str, Callable[[Patch, np.random.Generator], Floats]]] = {
    "Nodule": nodule,
    "Mass": mass,
    "Infiltration": infiltration,
    "Consolidation": consolidation,
    "Pneumonia": pneumonia,
    "Atelectasis": atelectasis,
    "Hernia": hernia,
}
