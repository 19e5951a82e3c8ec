"""Simulated findings: deformed organs, and added density with its mask.

The rules are the same for every image. Each finding is where it occurs in a chest: fluid at the
base, air at the apex and along the wall, opacities inside the lungs. Position and size are sampled
from NIH's boxes of the finding. The mask is exact, as it comes from the simulated density.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.labels import FINDINGS
from cxr14.phantoms.lung_boxes import (
    FrameBox,
    LungBox,
    LungBoxes,
    move_into_lung_fields,
    sample_lung_box,
)
from cxr14.phantoms.opacities import OPACITIES, crop_patch
from cxr14.phantoms.scene import COLUMN, ROW, SIZE, Scene, Shape, finding_side, seeded_rng
from cxr14.phantoms.textures import Floats, gaussian_field, smoothstep, strands

FRAME = (SIZE, SIZE)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lesion:
    """A simulated lesion, or the part of a finding in one lung.

    Attributes:
        density: added millimetres of water, (SIZE, SIZE).
        mask: where it is visible, (SIZE, SIZE).
    """

    density: Floats
    mask: Mask


# Diffuse findings, which change whole lungs.


def edema(scene: Scene, rng: np.random.Generator) -> Lesion:
    """Haze around both hila, fuller vessels, and short septal lines near the bases."""
    density = rng.uniform(0.5, 1.1) * scene.lung_markings
    septa = strands(rng, FRAME, 2.0, 9.0)
    haze_mm = rng.uniform(12, 24)
    mask = np.zeros(FRAME, bool)
    for side in ("right", "left"):
        x, y = _lung_coordinates(scene, side)
        lung = np.clip(scene.lung(side) / 60, 0, 1)
        haze = np.exp(-(((x - 0.28) / 0.38) ** 2) - ((y - 0.52) / 0.28) ** 2)
        mask |= lung * haze > 0.4
        haze *= np.clip(0.85 + 0.3 * gaussian_field(rng, FRAME, 9.0), 0.2, None)
        base = smoothstep((x - 0.45) / 0.3) * smoothstep((y - 0.45) / 0.25)
        density = density + lung * (haze_mm * haze + 26 * base * septa)
    return Lesion(np.asarray(density), mask)


def emphysema(scene: Scene, rng: np.random.Generator) -> Lesion:
    """Thinner lung tissue: less density, fewer vessels, and a few bullae with thin walls."""
    thinned = rng.uniform(0.6, 0.95) * scene.lung_markings
    thinned = thinned * smoothstep(1.1 + 0.4 * gaussian_field(rng, FRAME, 40.0))
    density = -rng.uniform(0.035, 0.07) * scene.lungs - thinned
    for _ in range(int(rng.integers(3, 9))):
        side = "right" if rng.random() < 0.5 else "left"
        top, bottom, medial, lateral = scene.lung_bounds(side)
        x = medial + (lateral - medial) * rng.uniform(0.3, 0.85)
        y = top + (bottom - top) * rng.uniform(0.1, 0.5)
        radius = np.hypot(COLUMN - x, ROW - y) / (rng.uniform(8, 22) / scene.mm_per_px)
        lung = np.clip(scene.lung(side) / 40, 0, 1)
        air = smoothstep((1 - radius) / 0.15) * lung
        wall = np.exp(-(((radius - 1) / 0.1) ** 2)) * lung
        density = density + 5 * wall - 8 * air
    return Lesion(np.asarray(density), scene.lungs > 40)


def fibrosis(scene: Scene, rng: np.random.Generator) -> Lesion:
    """Net of fine lines at the bases and the rim of the lungs."""
    net = np.maximum(strands(rng, FRAME, 2.2), strands(rng, FRAME, 3.4))
    net = net * np.clip(0.8 + 0.5 * gaussian_field(rng, FRAME, 16.0), 0, None)
    weight = np.zeros(FRAME, np.float32)
    net_mm, upper_limit = rng.uniform(20, 32), rng.uniform(0.25, 0.5)
    for side in ("right", "left"):
        _, y = _lung_coordinates(scene, side)
        rim = 0.6 * smoothstep(1 - scene.wall_distance_px(side) / (18 / scene.mm_per_px))
        extent = np.clip(smoothstep((y - upper_limit) / 0.3) + rim, 0, 1)
        weight += rng.uniform(0.6, 1.0) * extent * np.clip(scene.lung(side) / 40, 0, 1)
    return Lesion(np.asarray(net_mm * weight * (0.15 + net)), weight > 0.4)


# Findings of the pleura: fluid, air and thickened lining.


def effusion(scene: Scene, box: LungBox, rng: np.random.Generator) -> Lesion:
    """Fluid at the base of a lung, with a level that rises towards the chest wall."""
    top, bottom, _, _ = scene.lung_bounds(box.side)
    x = np.clip(_lung_coordinates(scene, box.side)[0], 0, 1)
    height = np.clip(box.height, 0.32, 0.7) * (bottom - top)  # the liver hides less than .32
    level = bottom - height * (0.5 + 0.5 * x**2)
    fluid = smoothstep((ROW - level) / rng.uniform(12, 26) + 0.5)
    depth_mm = 55 * np.tanh(scene.lung(box.side) / 55)
    added = rng.uniform(0.75, 1.1) * fluid * depth_mm
    return Lesion(added - 0.7 * fluid * scene.lung_markings * (depth_mm > 1), added > 14)


def pneumothorax(scene: Scene, box: LungBox, rng: np.random.Generator) -> Lesion:
    """Air at the apex and along the wall: dark, without vessels, behind a pleural line."""
    x, y = _lung_coordinates(scene, box.side)
    lower_end = np.clip(box.y + box.height / 2, 0.3, 1.0)
    y = np.clip(y, 0, 1)
    width_px = rng.uniform(20, 46) / scene.mm_per_px * (1.15 - 0.9 * y / lower_end)
    width_px = width_px + 3 * gaussian_field(rng, FRAME, 30.0)
    distance = scene.wall_distance_px(box.side)
    lung = scene.lung(box.side)
    wall = smoothstep(lung / 25) * smoothstep((x - 0.1 - 0.5 * y) / 0.25)
    air = smoothstep((width_px - distance) / 3 + 0.5) * wall
    pleural_line = np.exp(-(((distance - width_px) / 1.6) ** 2)) * wall * (width_px > 3)
    removed_mm = air * (1.6 * scene.lung_markings + 0.25 * lung + 7)
    collapsed_mm = 0.05 * lung * (1 - air) * smoothstep(1.2 - y)
    return Lesion(rng.uniform(12, 18) * pleural_line + collapsed_mm - removed_mm, air > 0.5)


def pleural_thickening(scene: Scene, box: LungBox, rng: np.random.Generator) -> Lesion:
    """Soft, irregular band along the wall or over the apex."""
    x, y = _lung_coordinates(scene, box.side)
    upper_end, lower_end = box.y - box.height / 2, box.y + box.height / 2
    vertical = smoothstep((y - upper_end) / 0.12) * smoothstep((lower_end - y) / 0.12)
    mean_width_px = rng.uniform(12, 22) / scene.mm_per_px
    width_px = mean_width_px * (1 + 0.35 * gaussian_field(rng, FRAME, 14.0))
    outer = smoothstep((x - 0.25 - 0.3 * np.clip(y, 0, 1)) / 0.2)
    band = smoothstep(1.25 - scene.wall_distance_px(box.side) / np.clip(width_px, 3, None))
    extent = band * smoothstep(scene.lung(box.side) / 18) * vertical * outer
    return Lesion(rng.uniform(56, 84) * extent, extent > 0.3)


def _lung_coordinates(scene: Scene, side: str) -> tuple[Floats, Floats]:
    """Return x (0 medial, 1 lateral; one row) and y (0 apex, 1 base; one column) of a lung."""
    top, bottom, medial, lateral = scene.lung_bounds(side)
    x = (COLUMN - medial) / np.float32(lateral - medial or 1)
    return x, (ROW - top) / np.float32(bottom - top or 1)


DIFFUSE: Final[dict[str, Callable[[Scene, np.random.Generator], Lesion]]] = {
    "Edema": edema,
    "Emphysema": emphysema,
    "Fibrosis": fibrosis,
}
"""Findings of whole lungs. They have a mask and no box."""
PLEURAL: Final[dict[str, Callable[[Scene, LungBox, np.random.Generator], Lesion]]] = {
    "Effusion": effusion,
    "Pneumothorax": pneumothorax,
    "Pleural_Thickening": pleural_thickening,
}
BILATERAL_SHARE: Final = {"Effusion": 0.3, "Pleural_Thickening": 0.25}
"""Share of patients with the finding in both lungs."""
MAX_LESIONS: Final = {"Nodule": 3, "Infiltration": 2}
"""Maximum number of lesions in an image; 1 for other opacities."""
BOX_SIDE_MM: Final = {
    "Nodule": (16.0, 34.0),
    "Mass": (40.0, 90.0),
    "Infiltration": (60.0, 130.0),
    "Consolidation": (60.0, 120.0),
    "Pneumonia": (50.0, 100.0),
    "Atelectasis": (34.0, 110.0),
    "Hernia": (62.0, 98.0),
}
"""Minimum and maximum side of an opacity's box. NIH's extremes are clipped."""
HEART_MASK_MM: Final = 15.0
"""Minimum excess of the heart over lung, in mm of water, in the mask of the heart."""
OPACITY_MASK: Final = 0.3
"""Minimum density in an opacity's mask, relative to the 95th percentile in its box."""
MASK_BLUR_PX: Final = 7.0
"""Standard deviation of the Gaussian that removes the texture of an opacity from its mask."""


def positive_findings(record: Mapping[str, object]) -> list[str]:
    """Return the findings of a record, in the order of FINDINGS."""
    return [finding for finding in FINDINGS if int(str(record[finding]))]


def deform_organs(
    shape: Shape, record: Mapping[str, object], boxes: LungBoxes, contrast: float, seed: int
) -> None:
    """Change size and position of heart and diaphragm by the findings of a record, in place."""
    for finding in positive_findings(record):
        rng = seeded_rng(seed, "shape", finding, record["patient"])
        if finding == "Cardiomegaly":
            widths = [box.width for box in boxes[finding]]
            relative = float(rng.choice(widths)) / float(np.median(widths))
            shape.heart[0] *= 1 + contrast * float(np.clip(1.36 * relative - 1, 0.24, 0.5))
            shape.heart[1] *= 1 + contrast * rng.uniform(0.02, 0.15)
        elif finding == "Emphysema":
            shape.zoom[1] /= 1 + contrast * rng.uniform(0.0, 0.06)
            shape.dome_elevation = [
                elevation - contrast * rng.uniform(4, 14) for elevation in shape.dome_elevation
            ]
            shape.heart[0] /= 1 + contrast * rng.uniform(0.02, 0.12)
        elif finding in ("Atelectasis", "Fibrosis"):  # volume loss
            shape.dome_elevation[int(rng.random() < 0.5)] += contrast * rng.uniform(4, 16)


def simulate_findings(
    scene: Scene, record: Mapping[str, object], boxes: LungBoxes, seed: int
) -> dict[str, list[Lesion]]:
    """Simulate the findings of a record.

    Args:
        scene: the patient in the frame, after :func:`deform_organs`.
        record: image, patient and the finding columns.
        boxes: NIH's boxes by finding.
        seed: seed of all phantoms.

    Returns:
        The lesions of each finding of the record. The list is empty if none is in the frame.
    """
    lesions: dict[str, list[Lesion]] = {}
    for finding in positive_findings(record):
        rng = seeded_rng(seed, "finding", finding, record["image"])
        if finding == "Cardiomegaly":  # deform_organs has enlarged the heart of the scene
            lesions[finding] = [Lesion(np.zeros(FRAME, np.float32), _heart_mask(scene))]
        elif finding in DIFFUSE:
            lesions[finding] = [DIFFUSE[finding](scene, rng)]
        elif finding in PLEURAL:
            pleural_boxes = _pleural_boxes(record, finding, boxes, seed)
            lesions[finding] = [PLEURAL[finding](scene, box, rng) for box in pleural_boxes]
        else:
            frame_boxes = _opacity_boxes(scene, record, finding, boxes, seed)
            opacities = [_opacity(scene, finding, box, rng) for box in frame_boxes]
            lesions[finding] = [opacity for opacity in opacities if opacity is not None]
    return lesions


def _heart_mask(scene: Scene) -> Mask:
    """Mask the heart without the great vessels."""
    mask = ndimage.binary_opening(scene.heart[::4, ::4] > HEART_MASK_MM, iterations=7)
    return np.asarray(np.repeat(np.repeat(mask, 4, axis=0), 4, axis=1))


def _opacity(scene: Scene, finding: str, box: FrameBox, rng: np.random.Generator) -> Lesion | None:
    """Simulate an opacity that fills a box; None if less than 3 px of it are in the frame."""
    patch = crop_patch(scene, box)
    if patch is None:
        return None
    density, mask = np.zeros(FRAME, np.float32), np.zeros(FRAME, bool)
    added = OPACITIES[finding](patch, rng)
    blurred = ndimage.gaussian_filter(np.abs(added), MASK_BLUR_PX)
    density[patch.rows, patch.columns] = added
    mask[patch.rows, patch.columns] = blurred > OPACITY_MASK * np.percentile(blurred, 95)
    return Lesion(density, mask)


def _pleural_boxes(
    record: Mapping[str, object], finding: str, boxes: LungBoxes, seed: int
) -> list[LungBox]:
    """Sample a box in one lung or in each, the same in all images of a patient."""
    rng = seeded_rng(seed, "place", finding, record["patient"])
    sides = [finding_side(record, finding, seed)]
    if rng.random() < BILATERAL_SHARE.get(finding, 0.0):
        sides = ["right", "left"]
    if finding in boxes:
        return [sample_lung_box(boxes, finding, rng, side) for side in sides]
    upper_ends, heights = rng.uniform(-0.1, 0.45, 2), rng.uniform(0.35, 0.6, 2)
    return [
        LungBox(side, 0.9, float(upper_end + height / 2), 0.2, float(height))
        for side, upper_end, height in zip(sides, upper_ends, heights, strict=False)
    ]


def _opacity_boxes(
    scene: Scene, record: Mapping[str, object], finding: str, boxes: LungBoxes, seed: int
) -> list[FrameBox]:
    """Sample the boxes of the lesions, in the same part of the lungs in all images of a patient."""
    rng = seeded_rng(seed, "place", finding, record["patient"])
    if finding == "Hernia":
        return [_hernia_box(scene, rng)]
    count = int(rng.integers(1, MAX_LESIONS.get(finding, 1) + 1))
    frame_boxes = []
    for _ in range(count):
        x, y, *sides = sample_lung_box(boxes, finding, rng).to_frame(scene)
        centre_x, centre_y = x + sides[0] / 2, y + sides[1] / 2
        low, high = (side_mm / scene.mm_per_px for side_mm in BOX_SIDE_MM[finding])
        width, height = (float(np.clip(side, low, high)) for side in sides)
        if finding == "Nodule":  # a ball
            width = height = min(width, height)
        box = (centre_x - width / 2, centre_y - height / 2, width, height)
        frame_boxes.append(move_into_lung_fields(scene, box))
    return frame_boxes


def _hernia_box(scene: Scene, rng: np.random.Generator) -> FrameBox:
    """Sample the box of a hiatus hernia: in the midline, just above the diaphragm."""
    right, left = scene.lung_bounds("right"), scene.lung_bounds("left")
    top, bottom, medial = (0.5 * (right[edge] + left[edge]) for edge in (0, 1, 2))
    min_mm, max_mm = BOX_SIDE_MM["Hernia"]
    width = rng.uniform(min_mm, max_mm) / scene.mm_per_px
    height = width * rng.uniform(0.75, 0.95)
    x = medial + rng.normal(8, 14)
    y = top + (bottom - top) * rng.uniform(0.58, 0.7)
    return float(x - width / 2), float(y - height / 2), float(width), float(height)
