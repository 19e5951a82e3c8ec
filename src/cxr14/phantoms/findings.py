"""Simulated findings: changes of the patient's shape, and density in the frame with its mask.

One rule draws a finding in every image: where that finding occurs in a chest (fluid at the base,
air at the apex and along the wall, opacities inside the lungs), at a place and of a size drawn from
NIH's boxes. The mask is what was drawn, so the location of every finding is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.labels import FINDINGS
from cxr14.phantoms.anatomy import Floats
from cxr14.phantoms.opacities import OPACITIES, blobs, patch, smooth, strands
from cxr14.phantoms.places import FrameBox, Place, Places, choose_place, into_lung
from cxr14.phantoms.scene import COLUMN, ROW, SIZE, Scene, Shape, finding_side, generator

FRAME = (SIZE, SIZE)
Mask = npt.NDArray[np.bool_]

DIFFUSE: Final = ("Edema", "Emphysema", "Fibrosis")
"""Findings of whole lungs: they have a mask and no box."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn of a finding: one lesion, or the part in one lung.

    Attributes:
        density: added millimetres of water, whole frame.
        mask: bool, whole frame: where it can be seen.
    """

    density: Floats
    mask: Mask


# Findings of whole lungs.


def edema(scene: Scene, rng: np.random.Generator) -> Drawn:
    """Draw haze around both hila, fuller vessels, short septal lines near the bases."""
    out = rng.uniform(0.5, 1.1) * scene.marks
    septa = strands(rng, FRAME, 2.0, 9.0)
    dense = rng.uniform(12, 24)
    shown = np.zeros(FRAME, bool)
    for side in ("right", "left"):
        across, down = _position(scene, side)
        lung = np.clip(scene.side(side) / 60, 0, 1)
        haze = np.exp(-(((across - 0.28) / 0.38) ** 2) - ((down - 0.52) / 0.28) ** 2)
        shown |= lung * haze > 0.4
        haze *= np.clip(0.85 + 0.3 * blobs(rng, FRAME, 9.0), 0.2, None)
        base = smooth((across - 0.45) / 0.3) * smooth((down - 0.45) / 0.25)
        out = out + lung * (dense * haze + 26 * base * septa)
    return Drawn(np.asarray(out), shown)


def emphysema(scene: Scene, rng: np.random.Generator) -> Drawn:
    """Draw thinner lung tissue: darker, vessels pruned, a few thin-walled bullae."""
    pruned = rng.uniform(0.6, 0.95) * scene.marks * smooth(1.1 + 0.4 * blobs(rng, FRAME, 40.0))
    out = -rng.uniform(0.035, 0.07) * scene.lungs - pruned
    for _ in range(int(rng.integers(3, 9))):
        side = "right" if rng.random() < 0.5 else "left"
        top, bottom, medial, lateral = scene.extent(side)
        x = medial + (lateral - medial) * rng.uniform(0.3, 0.85)
        y = top + (bottom - top) * rng.uniform(0.1, 0.5)
        radius = np.hypot(COLUMN - x, ROW - y) / (rng.uniform(8, 22) / scene.mm)
        inside = smooth((1 - radius) / 0.15) * np.clip(scene.side(side) / 40, 0, 1)
        wall = np.exp(-(((radius - 1) / 0.1) ** 2)) * np.clip(scene.side(side) / 40, 0, 1)
        out = out + 5 * wall - 8 * inside
    return Drawn(np.asarray(out), scene.lungs > 40)


def fibrosis(scene: Scene, rng: np.random.Generator) -> Drawn:
    """Draw a net of fine lines at the bases and the rim of the lungs."""
    net = np.maximum(strands(rng, FRAME, 2.2), strands(rng, FRAME, 3.4))
    net = net * np.clip(0.8 + 0.5 * blobs(rng, FRAME, 16.0), 0, None)
    weight = np.zeros(FRAME, np.float32)
    dense, reach = rng.uniform(20, 32), rng.uniform(0.25, 0.5)
    for side in ("right", "left"):
        _, down = _position(scene, side)
        rim = 0.6 * smooth(1 - scene.depth_px(side) / (18 / scene.mm))
        base = np.clip(smooth((down - reach) / 0.3) + rim, 0, 1)
        weight += rng.uniform(0.6, 1.0) * base * np.clip(scene.side(side) / 40, 0, 1)
    return Drawn(np.asarray(dense * weight * (0.15 + net)), weight > 0.4)


# Findings of the pleura: fluid, air and thickened lining.


def effusion(scene: Scene, place: Place, rng: np.random.Generator) -> Drawn:
    """Draw fluid at the base of a lung, its level rising towards the chest wall."""
    top, bottom, _, _ = scene.extent(place.side)
    across = np.clip(_position(scene, place.side)[0], 0, 1)
    reach = np.clip(place.height, 0.32, 0.7) * (bottom - top)  # below .32 the liver hides it
    level = bottom - reach * (0.5 + 0.5 * across**2)
    filled = smooth((ROW - level) / rng.uniform(12, 26) + 0.5)
    depth = 55 * np.tanh(scene.side(place.side) / 55)
    added = rng.uniform(0.75, 1.1) * filled * depth
    return Drawn(added - 0.7 * filled * scene.marks * (depth > 1), added > 14)


def pneumothorax(scene: Scene, place: Place, rng: np.random.Generator) -> Drawn:
    """Draw air at the apex and along the wall: no vessels, darker, behind a pleural line."""
    across, down = _position(scene, place.side)
    end = np.clip(place.down + place.height / 2, 0.3, 1.0)  # how far it reaches down
    down = np.clip(down, 0, 1)
    thick = rng.uniform(20, 46) / scene.mm * (1.15 - 0.9 * down / end)
    gap = thick + 3 * blobs(rng, FRAME, 30.0)
    depth = scene.depth_px(place.side)
    side = scene.side(place.side)
    wall = smooth(side / 25) * smooth((across - 0.1 - 0.5 * down) / 0.25)
    free = smooth((gap - depth) / 3 + 0.5) * wall
    line = np.exp(-(((depth - gap) / 1.6) ** 2)) * wall * (gap > 3)
    air = free * (1.6 * scene.marks + 0.25 * side + 7)
    collapsed = 0.05 * side * (1 - free) * smooth(1.2 - down)
    return Drawn(rng.uniform(12, 18) * line + collapsed - air, free > 0.5)


def pleural_thickening(scene: Scene, place: Place, rng: np.random.Generator) -> Drawn:
    """Draw a soft uneven band along the wall or over the apex."""
    across, down = _position(scene, place.side)
    begin, end = place.down - place.height / 2, place.down + place.height / 2
    stretch = smooth((down - begin) / 0.12) * smooth((end - down) / 0.12)
    wide = rng.uniform(12, 22) / scene.mm * (1 + 0.35 * blobs(rng, FRAME, 14.0))
    outer = smooth((across - 0.25 - 0.3 * np.clip(down, 0, 1)) / 0.2)
    band = smooth(1.25 - scene.depth_px(place.side) / np.clip(wide, 3, None))
    shape = band * smooth(scene.side(place.side) / 18) * stretch * outer
    return Drawn(rng.uniform(56, 84) * shape, shape > 0.3)


def _position(scene: Scene, side: str) -> tuple[Floats, Floats]:
    """Return across (0 medial, 1 lateral; a row) and down (0 apex, 1 base; a column) of a lung."""
    top, bottom, medial, lateral = scene.extent(side)
    across = (COLUMN - medial) / np.float32(lateral - medial or 1)
    return across, (ROW - top) / np.float32(bottom - top or 1)


LUNGS: Final[dict[str, Callable[[Scene, np.random.Generator], Drawn]]] = {
    "Edema": edema,
    "Emphysema": emphysema,
    "Fibrosis": fibrosis,
}
PLEURA: Final[dict[str, Callable[[Scene, Place, np.random.Generator], Drawn]]] = {
    "Effusion": effusion,
    "Pneumothorax": pneumothorax,
    "Pleural_Thickening": pleural_thickening,
}
BOTH_SIDES: Final = {"Effusion": 0.3, "Pleural_Thickening": 0.25}
"""Share of the patients who have the finding in both lungs."""
LESIONS: Final = {"Nodule": 3, "Infiltration": 2}
"""Largest number of lesions in an image; 1 for other opacities."""
SIZE_MM: Final = {
    "Nodule": (16.0, 34.0),
    "Mass": (40.0, 90.0),
    "Infiltration": (60.0, 130.0),
    "Consolidation": (60.0, 120.0),
    "Pneumonia": (50.0, 100.0),
    "Atelectasis": (34.0, 110.0),
    "Hernia": (62.0, 98.0),
}
"""Least and greatest side of an opacity's box in mm; NIH's extremes are cut off there."""
HEART_MASK_MM: Final = 15.0
"""Excess of the heart over lung, in mm of water, from which on it belongs to the mask."""
OPACITY_MASK: Final = 0.3
"""Least density of an opacity's mask, relative to the 95th percentile inside its box."""
EVEN_PX: Final = 7.0
"""Width of the Gaussian that evens out the grain of an opacity before that."""


def present(record: Mapping[str, object]) -> list[str]:
    """Return the findings of a row, in the order of FINDINGS."""
    return [finding for finding in FINDINGS if int(str(record[finding]))]


def reshape(
    shape: Shape, record: Mapping[str, object], places: Places, contrast: float, seed: int
) -> None:
    """Change size and position of heart and diaphragm by the findings, in place."""
    for finding in present(record):
        rng = generator(seed, "shape", finding, record["patient"])
        if finding == "Cardiomegaly":
            wide = [place.width for place in places[finding]]
            relative = float(rng.choice(wide)) / float(np.median(wide))
            shape.heart[0] *= 1 + contrast * float(np.clip(1.36 * relative - 1, 0.24, 0.5))
            shape.heart[1] *= 1 + contrast * rng.uniform(0.02, 0.15)
        elif finding == "Emphysema":
            shape.zoom[1] /= 1 + contrast * rng.uniform(0.0, 0.06)
            shape.raised = [raised - contrast * rng.uniform(4, 14) for raised in shape.raised]
            shape.heart[0] /= 1 + contrast * rng.uniform(0.02, 0.12)
        elif finding in ("Atelectasis", "Fibrosis"):  # loss of volume
            shape.raised[int(rng.random() < 0.5)] += contrast * rng.uniform(4, 16)


def draw(
    scene: Scene, record: Mapping[str, object], places: Places, seed: int
) -> dict[str, list[Drawn]]:
    """Draw the findings of a row.

    Args:
        scene: the patient in the frame, shaped by :func:`reshape`.
        record: image, patient and the finding columns.
        places: of NIH's boxes.
        seed: seed of all phantoms.

    Returns:
        Of each finding of the row, its lesions or its part in each lung; at least one.
    """
    out: dict[str, list[Drawn]] = {}
    for finding in present(record):
        rng = generator(seed, "finding", finding, record["image"])
        if finding == "Cardiomegaly":  # the heart was widened before the scene was built
            out[finding] = [Drawn(np.zeros(FRAME, np.float32), _heart_mask(scene))]
        elif finding in LUNGS:
            out[finding] = [LUNGS[finding](scene, rng)]
        elif finding in PLEURA:
            chosen = _in_pleura(record, finding, places, seed)
            out[finding] = [PLEURA[finding](scene, place, rng) for place in chosen]
        else:
            boxes = _boxes(scene, record, finding, places, seed)
            lesions = [_opacity(scene, finding, box, rng) for box in boxes]
            out[finding] = [lesion for lesion in lesions if lesion is not None]
    return out


def _heart_mask(scene: Scene) -> Mask:
    """Mask the heart without the vessels that leave it."""
    small = ndimage.binary_opening(scene.heart[::4, ::4] > HEART_MASK_MM, iterations=7)
    return np.asarray(np.repeat(np.repeat(small, 4, axis=0), 4, axis=1))


def _opacity(scene: Scene, finding: str, box: FrameBox, rng: np.random.Generator) -> Drawn | None:
    """Draw a lesion that fills a box; None if less than 3 px of it are in the frame."""
    at = patch(scene, box)
    if at is None:
        return None
    density, mask = np.zeros(FRAME, np.float32), np.zeros(FRAME, bool)
    added = OPACITIES[finding](at, rng)
    size = ndimage.gaussian_filter(np.abs(added), EVEN_PX)
    density[at.rows, at.columns] = added
    mask[at.rows, at.columns] = size > OPACITY_MASK * np.percentile(size, 95)
    return Drawn(density, mask)


def _in_pleura(
    record: Mapping[str, object], finding: str, places: Places, seed: int
) -> list[Place]:
    """Choose the place in one lung, or in both; the same in all images of a patient."""
    rng = generator(seed, "place", finding, record["patient"])
    sides = [finding_side(record, finding, seed)]
    if rng.random() < BOTH_SIDES.get(finding, 0.0):
        sides = ["right", "left"]
    if finding in places:
        return [choose_place(places, finding, rng, side) for side in sides]
    begins, long = rng.uniform(-0.1, 0.45, 2), rng.uniform(0.35, 0.6, 2)
    return [
        Place(side, 0.9, float(begin + length / 2), 0.2, float(length))
        for side, begin, length in zip(sides, begins, long, strict=False)
    ]


def _boxes(
    scene: Scene, record: Mapping[str, object], finding: str, places: Places, seed: int
) -> list[FrameBox]:
    """Choose the boxes of the lesions; follow-ups have theirs at the same places of the lungs."""
    rng = generator(seed, "place", finding, record["patient"])
    if finding == "Hernia":
        return [_behind_heart(scene, rng)]
    count = int(rng.integers(1, LESIONS.get(finding, 1) + 1))
    boxes = []
    for _ in range(count):
        x, y, width, height = choose_place(places, finding, rng).in_frame(scene)
        least, greatest = (side / scene.mm for side in SIZE_MM[finding])
        wide, tall = (float(np.clip(side, least, greatest)) for side in (width, height))
        if finding == "Nodule":  # a ball
            wide = tall = min(wide, tall)
        middle = x + width / 2, y + height / 2
        boxes.append(into_lung(scene, (middle[0] - wide / 2, middle[1] - tall / 2, wide, tall)))
    return boxes


def _behind_heart(scene: Scene, rng: np.random.Generator) -> FrameBox:
    """Choose the box of a hiatus hernia: in the midline, just above the diaphragm."""
    right, left = scene.extent("right"), scene.extent("left")
    top, bottom, middle = (0.5 * (right[edge] + left[edge]) for edge in (0, 1, 2))
    least, greatest = SIZE_MM["Hernia"]
    width = rng.uniform(least, greatest) / scene.mm
    height = width * rng.uniform(0.75, 0.95)
    x = middle + rng.normal(8, 14)
    y = top + (bottom - top) * rng.uniform(0.58, 0.7)
    return float(x - width / 2), float(y - height / 2), float(width), float(height)
