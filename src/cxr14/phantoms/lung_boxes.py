"""Places of findings: NIH's boxes in coordinates of the lungs.

NIH has no outlines of lungs. A box is therefore placed relative to LUNGS, the lungs of an average
image, and laid into the lungs of a phantom in the same proportion.
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

LUNGS: Final = {"right": (465.0, 105.0), "left": (560.0, 925.0)}
"""Medial and lateral edge of each lung in an average image of NIH, px of 1024.

Medians and outer ventiles of the edges of the boxes of Pneumothorax and Effusion, which touch the
walls of the lungs. So are APEX and BASE."""
APEX: Final = 95.0
BASE: Final = 800.0
WIDEST: Final = 1.25
"""Widest box relative to a lung; a wider one spans both lungs, and has no place in one."""

LIKE: Final = {"Consolidation": ("Pneumonia", "Infiltration")}
"""Findings without boxes of NIH that occur where others do."""

SHOWN_MM: Final = 60.0
"""Least lung along the ray, in mm, of the lung fields."""
SHOWN_DENSE: Final = 1.15
"""Greatest density there, relative to the median of the lungs; liver, heart and spine exceed it."""


@dataclass(frozen=True)
class Place:
    """Place of a finding in a lung.

    Attributes:
        side: right or left lung, of the patient.
        across: middle, from 0 at the medial edge to 1 at the lateral one.
        down: middle, from 0 at the apex to 1 at the base.
        width, height: relative to the lung's.
    """

    side: str
    across: float
    down: float
    width: float
    height: float

    def in_frame(self, scene: Scene) -> FrameBox:
        """Return the box of this place in a phantom's own lungs."""
        top, bottom, medial, lateral = scene.extent(self.side)
        width, height = self.width * abs(lateral - medial), self.height * (bottom - top)
        x = medial + self.across * (lateral - medial)
        y = top + self.down * (bottom - top)
        return x - width / 2, y - height / 2, width, height


Places = Mapping[str, tuple[Place, ...]]


def places_of_boxes(boxes: pd.DataFrame) -> dict[str, tuple[Place, ...]]:
    """Return the places of the boxes of each finding, in their order.

    Args:
        boxes: finding, x, y, width, height in px of NIH's 1024×1024 images.

    Returns:
        Also of the findings in LIKE. Boxes that span both lungs are left out.
    """
    places: dict[str, list[Place]] = {}
    for finding, x, y, width, height in boxes[["finding", "x", "y", "width", "height"]].itertuples(
        index=False, name=None
    ):
        place = _place(x, y, width, height)
        if place.width <= WIDEST or finding == "Cardiomegaly":
            places.setdefault(finding, []).append(place)
    for finding, others in LIKE.items():
        places[finding] = [place for other in others for place in places.get(other, [])]
    return {finding: tuple(found) for finding, found in places.items()}


def _place(x: float, y: float, width: float, height: float) -> Place:
    middle = x + width / 2
    side = min(LUNGS, key=lambda name: abs(sum(LUNGS[name]) / 2 - middle))
    medial, lateral = LUNGS[side]
    wide, tall = abs(lateral - medial), BASE - APEX
    across = (middle - medial) / (lateral - medial)
    return Place(side, across, (y + height / 2 - APEX) / tall, width / wide, height / tall)


def choose_place(
    places: Places, finding: str, rng: np.random.Generator, side: str | None = None
) -> Place:
    """Choose the place of one of NIH's boxes of a finding, in one lung if `side` names it.

    Args:
        places: of NIH's boxes.
        finding: its name.
        rng: source of the choice.
        side: the lung; None: either. A place of the other lung is mirrored if this one has none.
    """
    of_finding = places[finding]
    fitting = [place for place in of_finding if side in (None, place.side)] or of_finding
    place = fitting[int(rng.integers(len(fitting)))]
    jitter = rng.normal(0, 0.03, 2)
    across, down = place.across + float(jitter[0]), place.down + float(jitter[1])
    return Place(side or place.side, across, down, place.width, place.height)


def into_lung(scene: Scene, box: FrameBox) -> FrameBox:
    """Move a box so that its middle is in the lung fields, where an opacity can be seen."""
    x, y, width, height = box
    shown = _shown(scene)
    column, row = (int(np.clip(v // 8, 0, SIZE // 8 - 1)) for v in (x + width / 2, y + height / 2))
    if shown[row, column] or not shown.any():
        return box
    nearest = ndimage.distance_transform_edt(~shown, return_distances=False, return_indices=True)
    to_row, to_column = (int(axis[row, column]) for axis in nearest)
    return x + 8 * (to_column - column), y + 8 * (to_row - row), width, height


def _shown(scene: Scene) -> npt.NDArray[np.bool_]:
    """Mask the lung fields, where an opacity can be seen; every eighth pixel."""
    lungs, density = scene.lungs[::8, ::8], (scene.base + scene.heart)[::8, ::8]
    deep = lungs >= SHOWN_MM
    if not deep.any():
        return deep
    shown = deep & (density <= SHOWN_DENSE * np.median(density[deep]))
    return np.asarray(ndimage.binary_erosion(shown))  # not at the very edge
