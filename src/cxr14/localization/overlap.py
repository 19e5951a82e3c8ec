"""Boxes: overlap, detection in heatmaps, coordinates, hits and false positives.

A box is x, y, width, height in continuous pixels: it covers x to x + width.

A **pair** is an image and a finding with at least one ground-truth box. The 984 boxes of NIH make
984 pairs on 880 images. The overlap of a detected box with a pair is the highest over the pair's
boxes. A pair is a hit at T if any of its detected boxes overlaps by more than T; it counts once. A
detected box that overlaps by T or less is a false positive. AFP is their number divided by the
finding's boxed images. `pooled` takes the boxes of all heat thresholds together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

BOX = ["x", "y", "width", "height"]  # the columns of a box in tables
PAIR = ["image", "finding"]
CACHE_TRANSFORM = ["scale", "offset_x", "offset_y"]
Boxes = npt.NDArray[np.float64]  # (…, 4): x, y, width, height


def intersection(boxes1: Boxes, boxes2: Boxes) -> npt.NDArray[np.float64]:
    """Area shared by each of boxes1 (N, 4) with each of boxes2 (M, 4): (N, M), square pixels."""
    low = np.maximum(boxes1[:, None, :2], boxes2[None, :, :2])  # (N, M, 2)
    high = np.minimum(
        boxes1[:, None, :2] + boxes1[:, None, 2:], boxes2[None, :, :2] + boxes2[None, :, 2:]
    )
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=-1))


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Area of each of (N, 4): (N,), square pixels."""
    return np.asarray(boxes[:, 2] * boxes[:, 3])


def iobb(detected: Boxes, ground_truth: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over the **detected** box (Wang et al. 2017, section 4.2).

    Args:
        detected: (N, 4), each with an area.
        ground_truth: (M, 4).

    Returns:
        (N, M) in [0, 1]: 1 where the detected box lies inside the ground-truth box.
    """
    return np.minimum(intersection(detected, ground_truth) / area(detected)[:, None], 1.0)


def iou(detected: Boxes, ground_truth: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of (N, 4) and (M, 4), each with an area: (N, M) in [0, 1]."""
    shared = intersection(detected, ground_truth)
    union = area(detected)[:, None] + area(ground_truth)[None, :] - shared
    return np.minimum(shared / union, 1.0)


TOUCHING = np.ones((3, 3), np.int8)  # 8-connected: a diagonal neighbour belongs to the region
Heat = npt.NDArray[np.float32]


def scaled_to_255(maps: Heat) -> Heat:
    """Scale each map (..., h, w) to 0–255 by its own minimum and maximum.

    A constant map becomes 0 everywhere, so no threshold finds a region in it.
    """
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    share = np.divide(maps - low, span, out=np.zeros_like(maps, np.float32), where=span > 0)
    return np.asarray(share * 255, np.float32)


def hot_boxes(heat: Heat, threshold: float) -> tuple[Boxes, npt.NDArray[np.float64]]:
    """Box each isolated region of a heatmap above a threshold.

    Args:
        heat: (h, w), 0–255.
        threshold: a pixel is hot if its heat is **above** this.

    Returns:
        Boxes (K, 4) in heatmap pixels, tight around each 8-connected region, from top to
        bottom, and the highest heat inside each region (K,), 0–255.
    """
    regions, count = ndimage.label(heat > threshold, structure=TOUCHING)
    slices = ndimage.find_objects(regions, count)
    boxes = [
        (across.start, down.start, across.stop - across.start, down.stop - down.start)
        for down, across in slices
    ]
    # ndimage.maximum would sort all pixels of the map.
    scores = [
        heat[region][regions[region] == number].max() for number, region in enumerate(slices, 1)
    ]
    return np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64)


def to_source(boxes: Boxes, scale: float, offset_x: float, offset_y: float) -> Boxes:
    """Map boxes (K, 4) of the cached image to pixels of the shipped image.

    The inverse of ``x_cache = x_source × scale + offset``. Not clipped: a region in the padding
    of a non-square image lies outside that image and counts as a miss.
    """
    return (boxes - [offset_x, offset_y, 0, 0]) / scale


def to_cache(boxes: Boxes, scale: float, offset_x: float, offset_y: float) -> Boxes:
    """Map boxes (K, 4) of the shipped image to pixels of the cached image."""
    return boxes * scale + [offset_x, offset_y, 0, 0]


def cached_boxes(pairs: pd.DataFrame, ground_truth: pd.DataFrame) -> list[Boxes]:
    """List the ground-truth boxes (K, 4) of each of P pairs in pixels of the cached image."""
    indices = ground_truth.groupby(PAIR).indices
    boxes = ground_truth[BOX].to_numpy(np.float64)
    transforms = pairs[CACHE_TRANSFORM].to_numpy(np.float64)
    names = pairs[PAIR].itertuples(index=False, name=None)
    return [
        to_cache(boxes[indices[name]], *transform)
        for name, transform in zip(names, transforms, strict=True)
    ]


def covered_cells(boxes: Boxes, size: int, grid: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Share of each cell of a grid over the image that the boxes cover.

    Args:
        boxes: (K, 4) in pixels of the cached image, K ≥ 1.
        size: side of the image in pixels.
        grid: (h, w); (size, size) for the pixels themselves.

    Returns:
        (h, w), 0–1; of several boxes the one that covers the cell most.
    """
    down = _covered(boxes[:, 1], boxes[:, 3], size, grid[0])  # (K, h)
    across = _covered(boxes[:, 0], boxes[:, 2], size, grid[1])  # (K, w)
    return np.asarray((down[:, :, None] * across[:, None, :]).max(axis=0))


def _covered(
    start: npt.NDArray[np.float64], length: npt.NDArray[np.float64], size: int, cells: int
) -> npt.NDArray[np.float64]:
    """Share of each cell of a side that intervals (K,) cover: (K, cells)."""
    edges = np.linspace(0, size, cells + 1)
    low = np.maximum(start[:, None], edges[None, :-1])
    high = np.minimum((start + length)[:, None], edges[None, 1:])
    return np.asarray(np.clip(high - low, 0.0, None) * cells / size)


POOLED = "pooled"
MEAN = "mean"
"""The last row of every table: the mean over the findings that have boxed images."""


class Rule(NamedTuple):
    """Criterion of a hit; its fields are key columns of the tables."""

    measure: str  # iobb or iou
    overlap_threshold: float  # T in [0, 1): a hit overlaps by more
    heat_threshold: int | str  # of the detected boxes, 0–255; POOLED: all thresholds together


class Thresholds(NamedTuple):
    """Overlap and heat thresholds of the tables."""

    t_iobb: Sequence[float]
    t_iou: Sequence[float]
    heat_thresholds: Sequence[int]  # of 255


def rules(thresholds: Thresholds) -> list[Rule]:
    """List the rules of the tables: each measure at each T, each heat threshold, then pooled."""
    overlaps = [("iobb", t) for t in sorted(thresholds.t_iobb)]
    overlaps += [("iou", t) for t in sorted(thresholds.t_iou)]
    heats: list[int | str] = [*sorted(thresholds.heat_thresholds), POOLED]
    return [Rule(measure, t, heat) for measure, t in overlaps for heat in heats]


def with_overlaps(detections: pd.DataFrame, ground_truth: pd.DataFrame) -> pd.DataFrame:
    """Add the best IoBB and the best IoU of each detected box over its pair's ground-truth boxes.

    Args:
        detections: image, finding, x, y, width, height, … (D rows).
        ground_truth: image, finding, x, y, width, height, in the same pixels.

    Returns:
        The detections, in their order, with float columns ``iobb`` and ``iou``.
    """
    indices_by_pair = ground_truth.groupby(PAIR).indices
    boxes, true_boxes = (table[BOX].to_numpy(np.float64) for table in (detections, ground_truth))
    best = np.zeros((len(detections), 2))
    for pair, indices in detections.groupby(PAIR).indices.items():
        detected, truth = boxes[indices], true_boxes[indices_by_pair[pair]]
        best[indices, 0] = iobb(detected, truth).max(axis=1)
        best[indices, 1] = iou(detected, truth).max(axis=1)
    return detections.assign(iobb=best[:, 0], iou=best[:, 1])


def hits_and_false_boxes(
    pairs: pd.DataFrame, overlaps: pd.DataFrame, criteria: Sequence[Rule]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Score every pair by every rule.

    Args:
        pairs: image, finding (P rows).
        overlaps: detections of these pairs with their overlaps, see :func:`with_overlaps`.
        criteria: K rules.

    Returns:
        Whether the pair is hit (P, K), and the number of its boxes that are no hit (P, K).
    """
    pair_index = pd.MultiIndex.from_frame(pairs[PAIR]).get_indexer(
        pd.MultiIndex.from_frame(overlaps[PAIR])
    )
    values = {name: overlaps[name].to_numpy(np.float64) for name in ("iobb", "iou")}
    heat_of_box = overlaps["heat_threshold"].to_numpy()
    hits = np.zeros((len(pairs), len(criteria)), np.int64)
    false_boxes = np.zeros_like(hits)
    for column, (measure, threshold, heat) in enumerate(criteria):
        chosen = np.full(len(overlaps), True) if heat == POOLED else heat_of_box == heat
        is_hit = values[measure] > threshold
        hits[:, column] = np.bincount(pair_index[chosen & is_hit], minlength=len(pairs))
        false_boxes[:, column] = np.bincount(pair_index[chosen & ~is_hit], minlength=len(pairs))
    return hits > 0, false_boxes
