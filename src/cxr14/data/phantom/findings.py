"""What a row's findings change: the patient's shape first, then density in the frame."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from cxr14.data.phantom import lungs, pleura
from cxr14.data.phantom.ct import Floats
from cxr14.data.phantom.opacities import OPACITIES, Place, patch
from cxr14.data.phantom.patient import Shape, generator
from cxr14.data.phantom.scene import CENTRE, HEART_BOX, SIZE, Scene
from cxr14.findings import FINDINGS

Box = tuple[str, float, float, float, float]

PLEURA: Final = {
    "Effusion": pleura.effusion,
    "Pneumothorax": pleura.pneumothorax,
    "Pleural_Thickening": pleura.pleural_thickening,
}
LUNGS: Final = {
    "Edema": lungs.edema,
    "Emphysema": lungs.emphysema,
    "Fibrosis": lungs.fibrosis,
}
SIZES_MM: Final = {
    "Nodule": ((14, 30), (0.9, 1.1)),
    "Mass": ((36, 72), (0.75, 1.3)),
    "Infiltration": ((55, 110), (0.8, 1.7)),
    "Consolidation": ((55, 100), (0.8, 1.5)),
    "Pneumonia": ((45, 85), (0.8, 1.4)),
    "Atelectasis": ((45, 90), (0.35, 0.7)),
    "Hernia": ((62, 98), (0.75, 0.95)),
}
"""Width in mm and height relative to it, where no real box tells."""


def present(record: Mapping[str, object]) -> list[str]:
    """Return the findings of a row, in the order of FINDINGS."""
    return [finding for finding in FINDINGS if int(str(record[finding]))]


def reshape(
    shape: Shape, record: Mapping[str, object], boxes: Sequence[Box], contrast: float, seed: int
) -> None:
    """Let findings change size and place of heart and diaphragm, in ``shape`` itself."""
    for finding in present(record):
        rng = generator(seed, "shape", finding, record["image"])
        if finding == "Cardiomegaly":
            _widen(shape, _places(boxes, finding), contrast, rng)
        elif finding == "Emphysema":
            shape.zoom[1] /= 1 + contrast * rng.uniform(0.0, 0.06)
            shape.raised = [raised - contrast * rng.uniform(4, 14) for raised in shape.raised]
            shape.heart[0] /= 1 + contrast * rng.uniform(0.02, 0.12)
        elif finding in ("Atelectasis", "Fibrosis"):
            side = int(rng.random() < 0.5)
            shape.raised[side] += contrast * rng.uniform(6, 26)


def _widen(
    shape: Shape, places: Sequence[Place], contrast: float, rng: np.random.Generator
) -> None:
    """Enlarge the heart, into its box where the row has one."""
    if places and contrast > 0:
        x, y, width, height = shape.heart_box = places[0]
        x0, _, x1, y1 = HEART_BOX  # the whole patient moves until the heart stands in its box
        at = (0.5 * (x0 + x1), y1 + 10), (x + width / 2, y + height)
        shape.shift = [
            at[0][axis] - CENTRE[axis] - (at[1][axis] - SIZE / 2) * shape.zoom[axis]
            for axis in (0, 1)
        ]
    else:
        shape.heart[0] *= 1 + contrast * rng.uniform(0.2, 0.42)
        shape.heart[1] *= 1 + contrast * rng.uniform(0.0, 0.15)


def added_density(
    scene: Scene, record: Mapping[str, object], boxes: Sequence[Box], seed: int
) -> Floats:
    """Return what the findings add to the scene: millimetres of water, (SIZE, SIZE)."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for finding in present(record):
        rng = generator(seed, "finding", finding, record["image"])
        places = _places(boxes, finding)
        if finding in OPACITIES:
            chance = generator(seed, "place", finding, record["patient"])  # follow-ups agree
            for place in places or _choose(scene, finding, chance):
                at = patch(scene, place)
                if at is not None:
                    out[at.rows, at.columns] += OPACITIES[finding](at, rng)
        elif finding in PLEURA:
            for chosen in places or (None,):
                out += PLEURA[finding](scene, chosen, rng)
        elif finding in LUNGS:
            out += LUNGS[finding](scene, rng)
    return out


def _places(boxes: Sequence[Box], finding: str) -> list[Place]:
    """Return a finding's boxes in frame px (the picture has twice as many)."""
    half = SIZE / 1024
    return [
        (x * half, y * half, w * half, h * half) for name, x, y, w, h in boxes if name == finding
    ]


def _choose(scene: Scene, finding: str, rng: np.random.Generator) -> list[Place]:
    """Choose boxes for a finding whose place nobody drew: somewhere in the lungs."""
    count = int(rng.integers(1, 5)) if finding in ("Nodule", "Infiltration") else 1
    widths, ratios = SIZES_MM[finding]
    out: list[Place] = []
    for _ in range(count):
        width = rng.uniform(*widths) / scene.mm
        height = width * rng.uniform(*ratios)
        x, y = _midline(scene, rng) if finding == "Hernia" else _in_lungs(scene, finding, rng)
        out.append((x - width / 2, y - height / 2, width, height))
    return out


def _midline(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """Choose a point behind the heart, just above the diaphragm."""
    right, left = scene.extent("right"), scene.extent("left")
    bottom = 0.5 * (right[1] + left[1])
    top = 0.5 * (right[0] + left[0])
    x = 0.5 * (right[2] + left[2]) + rng.normal(8, 14)
    return float(x), float(top + (bottom - top) * rng.uniform(0.58, 0.7))


def _in_lungs(scene: Scene, finding: str, rng: np.random.Generator) -> tuple[float, float]:
    """Choose a random point of the lungs' projection; plates of atelectasis lie low."""
    small = np.clip(scene.lungs[::8, ::8], 0, 110).astype(np.float64)
    small[small < 75] = 0  # where little lung lies, liver or heart would hide it
    if finding == "Atelectasis":
        rows = np.arange(small.shape[0]) / small.shape[0]
        small *= (rows[:, None] > 0.4) + 0.02
    if not small.any():
        return SIZE / 3, SIZE / 2
    index = int(rng.choice(small.size, p=small.ravel() / small.sum()))
    row, column = divmod(index, small.shape[1])
    return column * 8 + float(rng.uniform(0, 8)), row * 8 + float(rng.uniform(0, 8))
