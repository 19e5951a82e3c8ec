"""Simulated findings: changes of the patient's shape and of the density in the frame."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from cxr14.labels import FINDINGS
from cxr14.phantoms.anatomy import Floats
from cxr14.phantoms.opacities import MARGIN_PX, OPACITIES, FrameBox, blobs, patch, smooth, strands
from cxr14.phantoms.scene import CENTRE, COLUMN, HEART_BOX, ROW, SIZE, Scene, Shape, generator

# Findings of whole lungs: edema, emphysema, fibrosis. Millimetres of water, whole frame.

FRAME = (SIZE, SIZE)


def edema(scene: Scene, rng: np.random.Generator) -> Floats:
    """Return haze around both hila, fuller vessels, short septal lines near the bases."""
    out = rng.uniform(0.5, 1.1) * scene.marks
    septa = strands(rng, FRAME, 2.0, 9.0)
    dense = rng.uniform(7, 17)
    for side in ("right", "left"):
        top, bottom, medial, lateral = scene.extent(side)
        across = (COLUMN - medial) / (lateral - medial or 1)
        down = (ROW - top) / (bottom - top or 1)
        lung = np.clip(scene.side(side) / 60, 0, 1)
        haze = np.exp(-(((across - 0.28) / 0.38) ** 2) - ((down - 0.52) / 0.28) ** 2)
        haze *= np.clip(0.85 + 0.3 * blobs(rng, FRAME, 9.0), 0.2, None)
        base = smooth((across - 0.45) / 0.3) * smooth((down - 0.45) / 0.25)
        out = out + lung * (dense * haze + 18 * base * septa)
    return np.asarray(out)


def emphysema(scene: Scene, rng: np.random.Generator) -> Floats:
    """Return thinner lung tissue: darker, vessels pruned, a few thin-walled bullae."""
    pruned = rng.uniform(0.6, 0.95) * scene.marks * smooth(1.1 + 0.4 * blobs(rng, FRAME, 40.0))
    out = -rng.uniform(0.015, 0.05) * scene.lungs - pruned
    for _ in range(int(rng.integers(3, 9))):
        side = "right" if rng.random() < 0.5 else "left"
        top, bottom, medial, lateral = scene.extent(side)
        x = medial + (lateral - medial) * rng.uniform(0.3, 0.85)
        y = top + (bottom - top) * rng.uniform(0.1, 0.5)
        radius = np.hypot(COLUMN - x, ROW - y) / (rng.uniform(8, 22) / scene.mm)
        inside = smooth((1 - radius) / 0.15) * np.clip(scene.side(side) / 40, 0, 1)
        wall = np.exp(-(((radius - 1) / 0.1) ** 2)) * np.clip(scene.side(side) / 40, 0, 1)
        out = out + 3 * wall - 5 * inside
    return np.asarray(out)


def fibrosis(scene: Scene, rng: np.random.Generator) -> Floats:
    """Return a net of fine lines at the bases and the rim of the lungs."""
    net = np.maximum(strands(rng, FRAME, 2.2), strands(rng, FRAME, 3.4))
    net = net * np.clip(0.8 + 0.5 * blobs(rng, FRAME, 16.0), 0, None)
    out = np.zeros(FRAME, np.float32)
    dense, reach = rng.uniform(10, 17), rng.uniform(0.25, 0.5)
    for side in ("right", "left"):
        top, bottom, _, _ = scene.extent(side)
        down = (ROW - top) / (bottom - top or 1)
        rim = 0.6 * smooth(1 - scene.depth_px(side) / (18 / scene.mm))
        base = np.clip(smooth((down - reach) / 0.3) + rim, 0, 1)
        out += dense * rng.uniform(0.6, 1.0) * base * np.clip(scene.side(side) / 40, 0, 1)
    return np.asarray(out * (0.15 + net))


# Findings of the pleura: fluid, air and thickened lining. Millimetres of water, whole frame.


def effusion(scene: Scene, box: FrameBox | None, rng: np.random.Generator) -> Floats:
    """Return fluid at the base of one or both lungs, its level rising towards the chest wall."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for side in _sides(scene, box, rng, both=0.3):
        top, bottom, medial, lateral = scene.extent(side)
        across = np.clip((COLUMN - medial) / (lateral - medial or 1), 0, 1)
        if box is None:
            reach = rng.uniform(0.3, 0.65) * (bottom - top)
            level = bottom - reach * (0.5 + 0.5 * across**2)
        else:
            level = box[1] + box[3] * (0.5 - 0.45 * across**2)
        filled = smooth((ROW - level) / rng.uniform(12, 26) + 0.5)
        depth = 55 * np.tanh(scene.side(side) / 55)
        out += rng.uniform(0.6, 0.9) * filled * depth - 0.7 * filled * scene.marks * (depth > 1)
    return np.asarray(out * _window(box))


def pneumothorax(scene: Scene, box: FrameBox | None, rng: np.random.Generator) -> Floats:
    """Return air at the apex and along the wall: no vessels, darker, behind a thin pleural line."""
    side = _sides(scene, box, rng, both=0.0)[0]
    top, bottom, medial, lateral = scene.extent(side)
    across = (COLUMN - medial) / (lateral - medial or 1)
    down = np.clip((ROW - top) / (bottom - top or 1), 0, 1)
    gap_px = rng.uniform(14, 40) / scene.mm
    if box is not None:
        gap_px = np.clip(0.45 * min(box[2], box[3]), 8, 60)
    gap = gap_px * (1.1 - rng.uniform(0.5, 0.9) * down) + 3 * blobs(rng, (SIZE, SIZE), 30.0)
    depth = scene.depth_px(side)
    lung = smooth(scene.side(side) / 25)
    wall = lung * smooth((across - 0.1 - 0.5 * down) / 0.25)
    free = smooth((gap - depth) / 3 + 0.5) * wall
    line = np.exp(-(((depth - gap) / 1.6) ** 2)) * wall
    air = free * (1.5 * scene.marks + 0.15 * scene.side(side) + 3)
    collapsed = 0.03 * scene.side(side) * (1 - free) * smooth(1.2 - down)
    return np.asarray((rng.uniform(7, 11) * line + collapsed - air) * _window(box))


def pleural_thickening(scene: Scene, box: FrameBox | None, rng: np.random.Generator) -> Floats:
    """Return a soft uneven band along the wall or over the apex."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for side in _sides(scene, box, rng, both=0.25):
        top, bottom, medial, lateral = scene.extent(side)
        across = (COLUMN - medial) / (lateral - medial or 1)
        down = (ROW - top) / (bottom - top or 1)
        begin = rng.uniform(-0.2, 0.45)
        stretch = smooth((down - begin) / 0.12) * smooth(
            (begin + rng.uniform(0.35, 0.6) - down) / 0.12
        )
        wide = rng.uniform(10, 20) / scene.mm * (1 + 0.35 * blobs(rng, (SIZE, SIZE), 14.0))
        outer = smooth((across - 0.25 - 0.3 * np.clip(down, 0, 1)) / 0.2)
        band = smooth(1.25 - scene.depth_px(side) / np.clip(wide, 3, None)) * smooth(
            scene.side(side) / 18
        )
        out += rng.uniform(34, 54) * band * stretch * outer
    return np.asarray(out * _window(box))


def _sides(scene: Scene, box: FrameBox | None, rng: np.random.Generator, both: float) -> list[str]:
    """Choose the lung nearest to a box; without a box one at random, or both."""
    if box is not None:
        edges = {side: scene.extent(side)[2:] for side in ("right", "left")}
        middle = box[0] + box[2] / 2
        return [min(edges, key=lambda side: abs(sum(edges[side]) / 2 - middle))]
    if rng.random() < both:
        return ["right", "left"]
    return ["right" if rng.random() < 0.55 else "left"]


def _window(box: FrameBox | None) -> Floats:
    """Return 1 everywhere without a box, else 1 inside it with soft edges."""
    if box is None:
        return np.ones((1, 1), np.float32)
    x, y, width, height = box
    across = 1 - np.abs((COLUMN - x - width / 2) / (width / 2 - MARGIN_PX))
    down = 1 - np.abs((ROW - y - height / 2) / (height / 2 - MARGIN_PX))
    return np.asarray(smooth(across / 0.3) * smooth(down / 0.3))


Box = tuple[str, float, float, float, float]

PLEURA: Final = {
    "Effusion": effusion,
    "Pneumothorax": pneumothorax,
    "Pleural_Thickening": pleural_thickening,
}
LUNGS: Final = {
    "Edema": edema,
    "Emphysema": emphysema,
    "Fibrosis": fibrosis,
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
"""Width in mm, and height relative to it, of findings without a real box."""


def present(record: Mapping[str, object]) -> list[str]:
    """Return the findings of a row, in the order of FINDINGS."""
    return [finding for finding in FINDINGS if int(str(record[finding]))]


def reshape(
    shape: Shape, record: Mapping[str, object], boxes: Sequence[Box], contrast: float, seed: int
) -> None:
    """Change size and position of heart and diaphragm by the findings, in place."""
    for finding in present(record):
        rng = generator(seed, "shape", finding, record["image"])
        if finding == "Cardiomegaly":
            _widen(shape, _frame_boxes(boxes, finding), contrast, rng)
        elif finding == "Emphysema":
            shape.zoom[1] /= 1 + contrast * rng.uniform(0.0, 0.06)
            shape.raised = [raised - contrast * rng.uniform(4, 14) for raised in shape.raised]
            shape.heart[0] /= 1 + contrast * rng.uniform(0.02, 0.12)
        elif finding in ("Atelectasis", "Fibrosis"):
            side = int(rng.random() < 0.5)
            shape.raised[side] += contrast * rng.uniform(6, 26)


def _widen(
    shape: Shape, frame_boxes: Sequence[FrameBox], contrast: float, rng: np.random.Generator
) -> None:
    """Enlarge the heart, into its box where the row has one."""
    if frame_boxes and contrast > 0:
        x, y, width, height = shape.heart_box = frame_boxes[0]
        x0, _, x1, y1 = HEART_BOX  # the patient is moved until the heart is in its box
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
    """Return the density that the findings add: millimetres of water, (SIZE, SIZE)."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for finding in present(record):
        rng = generator(seed, "finding", finding, record["image"])
        frame_boxes = _frame_boxes(boxes, finding)
        if finding in OPACITIES:
            box_rng = generator(seed, "place", finding, record["patient"])  # follow-ups agree
            for box in frame_boxes or _choose(scene, finding, box_rng):
                at = patch(scene, box)
                if at is not None:
                    out[at.rows, at.columns] += OPACITIES[finding](at, rng)
        elif finding in PLEURA:
            for chosen in frame_boxes or (None,):
                out += PLEURA[finding](scene, chosen, rng)
        elif finding in LUNGS:
            out += LUNGS[finding](scene, rng)
    return out


def _frame_boxes(boxes: Sequence[Box], finding: str) -> list[FrameBox]:
    """Return a finding's boxes in pixels of the frame, half of the image's."""
    half = SIZE / 1024
    return [
        (x * half, y * half, w * half, h * half) for name, x, y, w, h in boxes if name == finding
    ]


def _choose(scene: Scene, finding: str, rng: np.random.Generator) -> list[FrameBox]:
    """Choose random boxes in the lungs for a finding without ground-truth boxes."""
    count = int(rng.integers(1, 5)) if finding in ("Nodule", "Infiltration") else 1
    widths, ratios = SIZES_MM[finding]
    out: list[FrameBox] = []
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
    """Choose a random point of the lungs' projection; a low one for atelectasis."""
    small = np.clip(scene.lungs[::8, ::8], 0, 110).astype(np.float64)
    small[small < 75] = 0  # liver or heart would hide it
    if finding == "Atelectasis":
        rows = np.arange(small.shape[0]) / small.shape[0]
        small *= (rows[:, None] > 0.4) + 0.02
    if not small.any():
        return SIZE / 3, SIZE / 2
    index = int(rng.choice(small.size, p=small.ravel() / small.sum()))
    row, column = divmod(index, small.shape[1])
    return column * 8 + float(rng.uniform(0, 8)), row * 8 + float(rng.uniform(0, 8))
