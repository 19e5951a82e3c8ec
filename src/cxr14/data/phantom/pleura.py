"""Findings of the pleura: fluid, air and thickened lining. Millimetres of water, whole frame."""

import numpy as np

from cxr14.data.phantom.ct import Floats
from cxr14.data.phantom.opacities import MARGIN_PX, Place, smooth
from cxr14.data.phantom.scene import COLUMN, ROW, SIZE, Scene
from cxr14.data.phantom.texture import blobs


def effusion(scene: Scene, place: Place | None, rng: np.random.Generator) -> Floats:
    """Layer fluid at the base of one or both lungs, its level climbing towards the chest wall."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for side in _sides(scene, place, rng, both=0.3):
        top, bottom, medial, lateral = scene.extent(side)
        across = np.clip((COLUMN - medial) / (lateral - medial or 1), 0, 1)
        if place is None:
            reach = rng.uniform(0.3, 0.65) * (bottom - top)
            level = bottom - reach * (0.5 + 0.5 * across**2)
        else:
            level = place[1] + place[3] * (0.5 - 0.45 * across**2)
        filled = smooth((ROW - level) / rng.uniform(12, 26) + 0.5)
        depth = 55 * np.tanh(scene.side(side) / 55)
        out += rng.uniform(0.6, 0.9) * filled * depth - 0.7 * filled * scene.marks * (depth > 1)
    return np.asarray(out * _window(place))


def pneumothorax(scene: Scene, place: Place | None, rng: np.random.Generator) -> Floats:
    """Put air at the apex and along the wall: no vessels, darker, behind a thin pleural line."""
    side = _sides(scene, place, rng, both=0.0)[0]
    top, bottom, medial, lateral = scene.extent(side)
    across = (COLUMN - medial) / (lateral - medial or 1)
    down = np.clip((ROW - top) / (bottom - top or 1), 0, 1)
    gap_px = rng.uniform(14, 40) / scene.mm
    if place is not None:
        gap_px = np.clip(0.45 * min(place[2], place[3]), 8, 60)
    gap = gap_px * (1.1 - rng.uniform(0.5, 0.9) * down) + 3 * blobs(rng, (SIZE, SIZE), 30.0)
    depth = scene.depth_px(side)
    lung = smooth(scene.side(side) / 25)
    wall = lung * smooth((across - 0.1 - 0.5 * down) / 0.25)
    free = smooth((gap - depth) / 3 + 0.5) * wall
    line = np.exp(-(((depth - gap) / 1.6) ** 2)) * wall
    air = free * (1.5 * scene.marks + 0.15 * scene.side(side) + 3)
    collapsed = 0.03 * scene.side(side) * (1 - free) * smooth(1.2 - down)
    return np.asarray((rng.uniform(7, 11) * line + collapsed - air) * _window(place))


def pleural_thickening(scene: Scene, place: Place | None, rng: np.random.Generator) -> Floats:
    """Draw a soft uneven band along the wall or over the apex."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for side in _sides(scene, place, rng, both=0.25):
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
    return np.asarray(out * _window(place))


def _sides(scene: Scene, place: Place | None, rng: np.random.Generator, both: float) -> list[str]:
    """Choose lungs: the one nearest to a box, else one at random, or both."""
    if place is not None:
        edges = {side: scene.extent(side)[2:] for side in ("right", "left")}
        middle = place[0] + place[2] / 2
        return [min(edges, key=lambda side: abs(sum(edges[side]) / 2 - middle))]
    if rng.random() < both:
        return ["right", "left"]
    return ["right" if rng.random() < 0.55 else "left"]


def _window(place: Place | None) -> Floats:
    """1 everywhere, or a soft-edged copy of the box."""
    if place is None:
        return np.ones((1, 1), np.float32)
    x, y, width, height = place
    across = 1 - np.abs((COLUMN - x - width / 2) / (width / 2 - MARGIN_PX))
    down = 1 - np.abs((ROW - y - height / 2) / (height / 2 - MARGIN_PX))
    return np.asarray(smooth(across / 0.3) * smooth(down / 0.3))
