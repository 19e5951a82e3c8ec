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
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BOX = ["x", "y", "width", "height"]  # the columns of a box in tables
PAIR = ["image", "finding"]
CACHE_TRANSFORM = ["scale", "offset_x", "offset_y"]
Boxes = npt.NDArray[np.float64]  # (…, 4): x, y, width, height


def intersection(boxes1: Boxes, boxes2: Boxes) -> npt.NDArray[np.float64]:
    """Area shared by boxes of (…, 4) and (…, 4), which are broadcast: (…), square pixels."""
    low = np.maximum(boxes1[..., :2], boxes2[..., :2])
    high = np.minimum(boxes1[..., :2] + boxes1[..., 2:], boxes2[..., :2] + boxes2[..., 2:])
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=-1))


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Area of each box of (…, 4): (…), square pixels."""
    return np.asarray(boxes[..., 2] * boxes[..., 3])


def iobb(detected: Boxes, ground_truth: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over the **detected** box (Wang et al. 2017, section 4.2).

    Args:
        detected: (…, 4), each with an area.
        ground_truth: (…, 4); the two are broadcast.

    Returns:
        (…) in [0, 1]: 1 where the detected box lies inside the ground-truth box.
    """
    return np.minimum(intersection(detected, ground_truth) / area(detected), 1.0)


def iou(detected: Boxes, ground_truth: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes with an area, broadcast: (…) in [0, 1]."""
    shared = intersection(detected, ground_truth)
    return np.minimum(shared / (area(detected) + area(ground_truth) - shared), 1.0)


Heat = npt.NDArray[np.float32]


def scaled_to_255(maps: Heat) -> Heat:
    """Scale each map (..., h, w) to 0–255 by its own minimum and maximum.

    A constant map becomes 0 everywhere, so no threshold finds a region in it.
    """
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    scaled = (maps - low).astype(np.float32, copy=False)
    np.divide(scaled, span, out=scaled, where=span > 0)
    scaled *= 255
    return np.asarray(scaled)


class Regions(NamedTuple):
    """K isolated hot regions of some heatmaps, by map and from top to bottom."""

    map_index: npt.NDArray[np.int64]  # (K,)
    boxes: Boxes  # (K, 4) in pixels of the heatmap, tight around the region
    scores: npt.NDArray[np.float64]  # (K,) highest heat inside the region, 0–255

    @classmethod
    def none(cls) -> "Regions":
        """Return no regions."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))


def hot_regions(maps: Heat, threshold: float) -> Regions:
    """Find the regions of M heatmaps above a threshold.

    A region is 8-connected: a diagonal neighbour belongs to it. Regions are joined from runs of hot
    pixels in a row. This gives what scipy.ndimage.label gives in a quarter of its time, as a map
    has 200 times as many pixels as runs.

    Args:
        maps: (M, h, w), 0–255.
        threshold: a pixel is hot if its heat is **above** this.
    """
    count, height, width = maps.shape
    hot = maps > threshold
    # A cold column and a cold row behind each map separate rows and maps in the flat array.
    padded = np.zeros((count, height + 1, width + 1), bool)
    padded[:, :height, :width] = hot
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=False))
    if not len(edges):
        return Regions.none()
    starts, ends = edges[::2], edges[1::2]
    lengths = ends - starts
    hottest = np.maximum.reduceat(maps[hot], np.cumsum(lengths) - lengths)
    row, left = np.divmod(starts, width + 1)
    index, top = np.divmod(row, height + 1)
    order, first = _regions_of_runs(starts, ends, width + 1)
    x, y = (np.minimum.reduceat(side[order], first) for side in (left, top))
    right, bottom = (np.maximum.reduceat(side[order], first) for side in (left + lengths, top + 1))
    boxes = np.stack([x, y, right - x, bottom - y], axis=-1).astype(np.float64)
    scores = np.maximum.reduceat(hottest[order], first)
    return Regions(index[order][first], boxes, scores.astype(np.float64))


def _regions_of_runs(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], stride: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Join runs (R,) that touch, also at a corner, in the next row, ``stride`` further.

    Returns:
        The runs in the order of their regions (R,), and where each of the K regions begins (K,).
    """
    first = np.searchsorted(ends, starts + stride)  # that ends there or later
    counts = np.searchsorted(starts, ends + stride, side="right") - first
    above = np.repeat(np.arange(len(starts)), counts)
    touching = np.ones(len(above), bool), (above, ranges(first, counts))
    graph = coo_array(touching, (len(starts), len(starts)))
    _, region = connected_components(graph, directed=False)
    # Number the regions by their first run, from top to bottom.
    _, appearance, region = np.unique(region, return_index=True, return_inverse=True)
    order = np.argsort(appearance[region], kind="stable")
    return order, np.flatnonzero(np.diff(appearance[region][order], prepend=-1))


def ranges(first: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Concatenate the ranges of ``counts`` (N,) numbers from ``first`` (N,) on."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(counts.sum()) + np.repeat(first - before, counts))


Number = float | npt.NDArray[np.float64]


def to_source(boxes: Boxes, scale: Number, offset_x: Number, offset_y: Number) -> Boxes:
    """Map boxes (K, 4) of the cached image to pixels of the shipped image.

    The inverse of ``x_cache = x_source × scale + offset``. Not clipped: a region in the padding
    of a non-square image lies outside that image and counts as a miss.

    Args:
        boxes: of the cached image.
        scale: of all boxes, or of each (K,); the offsets alike.
        offset_x: in pixels of the cached image.
        offset_y: the same.
    """
    x, y, width, height = boxes.T
    return np.stack(
        [(x - offset_x) / scale, (y - offset_y) / scale, width / scale, height / scale], axis=-1
    )


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
    pairs = pd.MultiIndex.from_frame(ground_truth[PAIR]).unique()
    pair_of_box = pairs.get_indexer(pd.MultiIndex.from_frame(ground_truth[PAIR]))
    pair = pairs.get_indexer(pd.MultiIndex.from_frame(detections[PAIR]))
    counts = np.bincount(pair_of_box, minlength=len(pairs))  # ground-truth boxes by pair
    first, order = np.cumsum(counts) - counts, np.argsort(pair_of_box, kind="stable")
    # Each detected box beside every ground-truth box of its pair.
    true_boxes = ground_truth[BOX].to_numpy(np.float64)[order[ranges(first[pair], counts[pair])]]
    boxes = np.repeat(detections[BOX].to_numpy(np.float64), counts[pair], axis=0)
    begin = np.cumsum(counts[pair]) - counts[pair]
    best = [
        np.maximum.reduceat(overlap(boxes, true_boxes), begin) if len(begin) else np.zeros(0)
        for overlap in (iobb, iou)
    ]
    return detections.assign(iobb=best[0], iou=best[1])


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
