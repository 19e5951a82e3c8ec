"""Findings of whole lungs: edema, emphysema, fibrosis. Millimetres of water, whole frame."""

import numpy as np

from cxr14.data.phantom.ct import Floats
from cxr14.data.phantom.opacities import smooth
from cxr14.data.phantom.scene import COLUMN, ROW, SIZE, Scene
from cxr14.data.phantom.texture import blobs, strands

FRAME = (SIZE, SIZE)


def edema(scene: Scene, rng: np.random.Generator) -> Floats:
    """Draw haze around both hila, fuller vessels, short septal lines near the bases."""
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
    """Thin the lung tissue: darker, vessels pruned, a few thin-walled bullae."""
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
    """Draw a net of fine lines at the bases and the rim of the lungs."""
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
