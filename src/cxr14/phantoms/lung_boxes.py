"""Boxes in coordinates of the lungs, to transfer NIH's boxes to phantoms.

NIH has no outlines of lungs. So a box is expressed relative to the lungs of an average image
(:data:`AVERAGE_LUNGS`), and covers the same fraction of the lungs of a phantom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from cxr14.phantoms.scene import SIZE, Scene

FrameBox = tuple[float, float, float, float]
"""x, y, width and height in px of the frame."""

AVERAGE_LUNGS: Final = {"right": (465.0, 105.0), "left": (560.0, 925.0)}
"""Medial and lateral edge of each lung in an average image of NIH, px of 1024.

These three constants are medians and outer ventiles of the edges of the boxes of Pneumothorax and
Effusion, which touch the walls of the lungs."""
APEX: Final = 95.0
BASE: Final = 800.0
MAX_WIDTH: Final = 1.25
"""Maximum width of a box relative to a lung. A wider box spans both lungs and is left out."""

SUBSTITUTES: Final = {"Consolidation": ("Pneumonia", "Infiltration")}
"""Findings without boxes of NIH, and the findings whose boxes they use."""

LUNG_FIELD_MM: Final = 60.0
"""Minimum of lung along the ray in the lung fields."""
LUNG_FIELD_DENSITY: Final = 1.15
"""Maximum density in the lung fields, relative to the median of the lungs. Liver, heart and spine
exceed it."""


@dataclass(frozen=True)
class LungBox:
    """A box relative to the bounds of a lung.

    Attributes:
        side: right or left lung of the patient.
        x: centre, from 0 at the medial edge to 1 at the lateral edge.
        y: centre, from 0 at the apex to 1 at the base.
        width, height: relative to those of the lung.
    """

    side: str
    x: float
    y: float
    width: float
    height: float

    def to_frame(self, scene: Scene) -> FrameBox:
        """Return the box in px of a phantom's frame."""
        top, bottom, medial, lateral = scene.lung_bounds(self.side)
        width, height = self.width * abs(lateral - medial), self.height * (bottom - top)
        x = medial + self.x * (lateral - medial)
        y = top + self.y * (bottom - top)
        return x - width / 2, y - height / 2, width, height


LungBoxes = Mapping[str, tuple[LungBox, ...]]
"""Boxes by finding."""


def to_lung_boxes(boxes: pd.DataFrame) -> dict[str, tuple[LungBox, ...]]:
    """Convert boxes to coordinates of the lungs, by finding.

    Args:
        boxes: finding, x, y, width, height in px of NIH's 1024×1024 images.

    Returns:
        The boxes of each finding in their order, and those of the findings in SUBSTITUTES. Boxes
        that span both lungs are left out, except those of Cardiomegaly.
    """
    converted: dict[str, list[LungBox]] = {}
    for finding, x, y, width, height in boxes[["finding", "x", "y", "width", "height"]].itertuples(
        index=False, name=None
    ):
        box = _to_lung_box(x, y, width, height)
        if box.width <= MAX_WIDTH or finding == "Cardiomegaly":
            converted.setdefault(finding, []).append(box)
    for finding, substitutes in SUBSTITUTES.items():
        converted[finding] = [box for name in substitutes for box in converted.get(name, [])]
    return {finding: tuple(lung_boxes) for finding, lung_boxes in converted.items()}


def _to_lung_box(x: float, y: float, width: float, height: float) -> LungBox:
    centre_x = x + width / 2
    side = min(AVERAGE_LUNGS, key=lambda name: abs(sum(AVERAGE_LUNGS[name]) / 2 - centre_x))
    medial, lateral = AVERAGE_LUNGS[side]
    lung_width, lung_height = abs(lateral - medial), BASE - APEX
    return LungBox(
        side,
        (centre_x - medial) / (lateral - medial),
        (y + height / 2 - APEX) / lung_height,
        width / lung_width,
        height / lung_height,
    )


def sample_lung_box(
    boxes: LungBoxes, finding: str, rng: np.random.Generator, side: str | None = None
) -> LungBox:
    """Sample one of NIH's boxes of a finding, and shift it slightly.

    Args:
        boxes: NIH's boxes by finding.
        finding: its name.
        rng: source of the choice and the shift.
        side: right or left lung; None: either. If this lung has no boxes, one of the other lung is
            mirrored.
    """
    candidates = [box for box in boxes[finding] if side in (None, box.side)] or boxes[finding]
    box = candidates[int(rng.integers(len(candidates)))]
    shift_x, shift_y = rng.normal(0, 0.03, 2)
    x, y = box.x + float(shift_x), box.y + float(shift_y)
    return LungBox(side or box.side, x, y, box.width, box.height)


def move_into_lung_fields(scene: Scene, box: FrameBox) -> FrameBox:
    """Move a box so that its centre is in the lung fields, where an opacity is visible."""
    x, y, width, height = box
    fields = _lung_fields(scene)
    centre = x + width / 2, y + height / 2
    column, row = (int(np.clip(px // 8, 0, SIZE // 8 - 1)) for px in centre)
    if fields[row, column] or not fields.any():
        return box
    nearest = ndimage.distance_transform_edt(~fields, return_distances=False, return_indices=True)
    nearest_row, nearest_column = (int(axis[row, column]) for axis in nearest)
    return x + 8 * (nearest_column - column), y + 8 * (nearest_row - row), width, height


def _lung_fields(scene: Scene) -> npt.NDArray[np.bool_]:
    """Mask the lung fields without their rim; every eighth pixel."""
    lungs, density = scene.lungs[::8, ::8], (scene.base + scene.heart)[::8, ::8]
    mask = lungs >= LUNG_FIELD_MM
    if not mask.any():
        return mask
    mask &= density <= LUNG_FIELD_DENSITY * np.median(density[mask])
    return np.asarray(ndimage.binary_erosion(mask))
