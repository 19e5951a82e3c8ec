"""Opacities: findings that fill a box.

Each function returns the attenuation that a finding adds to a patch of the frame, in millimetres of
water.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr14.phantoms.lung_boxes import FrameBox
from cxr14.phantoms.scene import SIZE, Scene
from cxr14.phantoms.textures import Floats, gaussian_field, smoothstep, strands


@dataclass(frozen=True)
class Patch:
    """The pixels of a box, with their coordinates.

    Attributes:
        rows, columns: slices of the frame.
        u, v: horizontal and vertical position in the box, from -1 to 1; (h, w).
        lung: lung along the ray relative to 50 mm, 0 to 1; (h, w).
        lung_markings: millimetres of water; (h, w).
        mm_per_px: size of a px.
    """

    rows: slice
    columns: slice
    u: Floats
    v: Floats
    lung: Floats
    lung_markings: Floats
    mm_per_px: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.u.shape[0], self.u.shape[1]

    def window(self, margin: float = 0.3) -> Floats:
        """Return weights: 1 in the centre, and a smooth fall to 0 in a margin at the edges."""
        horizontal, vertical = (
            smoothstep((1 - np.abs(axis)) / margin) for axis in (self.u, self.v)
        )
        return np.asarray(horizontal * vertical)

    def radius(self, irregularity: Floats) -> Floats:
        """Return the distance from the centre of an irregular ellipse, 1 at its outline.

        The outline touches an edge of the box and crosses none, as a cut would be a straight edge.
        """
        distance = np.sqrt(self.u**2 + self.v**2) * irregularity
        border = np.maximum(np.abs(self.u), np.abs(self.v)) > 0.95
        return np.asarray(distance / np.min(distance[border], initial=1.5))

    def irregular_ellipse(
        self, rng: np.random.Generator, roughness: float, power: float = 3.0
    ) -> Floats:
        """Return an irregular ellipse inside the box: 1 in the centre, 0 outside."""
        lobe_px = max(3.0, min(self.shape) / 6)
        lobes = gaussian_field(rng, self.shape, round(lobe_px / 3) * 3.0)
        irregularity = 1 + roughness * np.clip(lobes, -2, 2)
        radius = self.radius(np.clip(irregularity, 0.4, None))
        return np.asarray(np.clip(1 - radius**power, 0, 1))


def crop_patch(scene: Scene, box: FrameBox) -> Patch | None:
    """Crop a box out of the scene; None if less than 3 px of a side are in the frame."""
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
    markings = scene.lung_markings[rows, columns]
    return Patch(rows, columns, grid_u, grid_v, lung, markings, scene.mm_per_px)


def nodule(patch: Patch, rng: np.random.Generator) -> Floats:
    """Small dense ball: the chord of a sphere, sometimes calcified."""
    radius_mm = min(patch.shape) / 2 * patch.mm_per_px
    chord = np.sqrt(np.clip(1 - patch.u**2 - patch.v**2, 0, None))
    peak_mm = np.clip(6 * radius_mm, 60, 95) * rng.uniform(0.85, 1.3)
    return np.asarray(peak_mm * chord**1.5 * patch.window(0.12))


def mass(patch: Patch, rng: np.random.Generator) -> Floats:
    """Large lump: the chord of an ellipsoid with a lobulated, slightly soft outline."""
    lobes = gaussian_field(rng, patch.shape, round(min(patch.shape) / 15) * 3.0 + 3.0)
    radius = patch.radius(1 + 0.14 * np.clip(lobes, -2, 2))
    chord = np.sqrt(np.clip(1 - radius**2, 0, None))
    peak_mm = np.clip(1.5 * min(patch.shape) * patch.mm_per_px, 75, 120) * rng.uniform(0.85, 1.2)
    texture = 1 + 0.06 * gaussian_field(rng, patch.shape, 5.0)
    return np.asarray(peak_mm * smoothstep(chord * 1.25) * texture)


def infiltration(patch: Patch, rng: np.random.Generator) -> Floats:
    """Mild, ill-defined, patchy and streaky cloud."""
    cloud = np.clip(0.45 + 0.6 * gaussian_field(rng, patch.shape, 7.0), 0, 1.6)
    streaks = strands(rng, patch.shape, 3.0, 4.0)
    water_mm = rng.uniform(28, 42) * cloud + rng.uniform(14, 24) * streaks
    return np.asarray(water_mm * patch.irregular_ellipse(rng, 0.15) * _airspace_weight(patch))


def consolidation(patch: Patch, rng: np.random.Generator) -> Floats:
    """Dense, homogeneous opacity with dark bronchi beside the vessels (air bronchogram)."""
    bronchi = np.clip(patch.lung_markings / 7, 0, 1)
    extent = smoothstep(patch.irregular_ellipse(rng, 0.22) * 2)
    texture = 1 + 0.08 * gaussian_field(rng, patch.shape, 5.0) - 0.8 * bronchi
    return np.asarray(rng.uniform(62, 86) * extent * texture * _airspace_weight(patch))


def pneumonia(patch: Patch, rng: np.random.Generator) -> Floats:
    """Focal opacity with a fluffy edge, grainy inside."""
    fine = 0.3 * gaussian_field(rng, patch.shape, 4.0)
    coarse = 0.3 * gaussian_field(rng, patch.shape, 11.0)
    texture = np.clip(0.8 + fine + coarse, 0.1, None)
    extent = patch.irregular_ellipse(rng, 0.28)
    return np.asarray(rng.uniform(44, 62) * extent * texture * _airspace_weight(patch))


def atelectasis(patch: Patch, rng: np.random.Generator) -> Floats:
    """One to three plates in profile, over a slightly denser region."""
    water_mm = rng.uniform(12, 24) * patch.irregular_ellipse(rng, 0.2)
    count = int(rng.integers(1, 4))
    height_mm = patch.shape[0] * patch.mm_per_px
    for centre in np.linspace(-0.5, 0.5, count) if count > 1 else [rng.uniform(-0.3, 0.3)]:
        slope, curvature = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
        line = centre + slope * patch.u + curvature * patch.u**2
        thickness = np.clip(rng.uniform(6, 11) / height_mm, 0.05, 0.4)
        plate = np.exp(-(((patch.v - line) / thickness) ** 2))
        water_mm = water_mm + rng.uniform(46, 70) * plate
    return np.asarray(water_mm * patch.window(0.3) * _airspace_weight(patch))


def hernia(patch: Patch, rng: np.random.Generator) -> Floats:
    """Hiatus hernia: a soft wall, fluid below a level and air above it."""
    irregularity = 1 + 0.07 * gaussian_field(rng, patch.shape, 18.0)
    radius = np.sqrt(patch.u**2 + patch.v**2) * irregularity
    level = rng.uniform(-0.5, 0.3)
    inside = smoothstep((0.9 - radius) / 0.3)
    wall = np.exp(-(((radius - 0.74) / 0.13) ** 2))
    fluid = smoothstep((patch.v - level) / 0.2)
    content = inside * (rng.uniform(36, 54) * fluid - rng.uniform(24, 40) * (1 - fluid))
    return np.asarray((content + rng.uniform(20, 32) * wall) * patch.window(0.08))


def _airspace_weight(patch: Patch) -> Floats:
    """Weight of airspace findings: 0.3 outside of the lungs to 1 inside."""
    return np.asarray(0.3 + 0.7 * patch.lung)


OPACITIES: Final[dict[str, Callable[[Patch, np.random.Generator], Floats]]] = {
    "Nodule": nodule,
    "Mass": mass,
    "Infiltration": infiltration,
    "Consolidation": consolidation,
    "Pneumonia": pneumonia,
    "Atelectasis": atelectasis,
    "Hernia": hernia,
}
