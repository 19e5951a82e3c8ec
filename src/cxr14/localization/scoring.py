"""Hits and false positives of detected boxes (NumPy and pandas only).

The rule, fixed once. The unit is a pair of image and finding with at least one drawn box. The
984 boxes of NIH make 984 pairs (on 880 images); in other data a pair may hold several boxes,
and a detected box then overlaps the pair by its **best** value over them. A pair is a hit at T
if any of its detected boxes overlaps by more than T, and counts once however many boxes hit.
A detected box that overlaps by T or less is a false positive; AFP divides their number by the
finding's boxed images. `pooled` takes the boxes of all heat thresholds together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.overlap import BOX, iobb, iou

PAIR = ["image", "finding"]
POOLED = "pooled"


class Rule(NamedTuple):
    """When a detected box is a hit, and which boxes are asked."""

    measure: str  # iobb or iou
    limit: float  # T in [0, 1): a hit overlaps by more
    heat: int | str  # the heat threshold of the boxes, or POOLED for those of all thresholds


class Limits(NamedTuple):
    """What the tables are asked for."""

    t_iobb: Sequence[float]
    t_iou: Sequence[float]
    heat_thresholds: Sequence[int]  # of 255


def rules(asked: Limits) -> list[Rule]:
    """List the rules of the tables: each measure at each T, each heat threshold, then pooled."""
    limits = [("iobb", t) for t in sorted(asked.t_iobb)]
    limits += [("iou", t) for t in sorted(asked.t_iou)]
    heats: list[int | str] = [*sorted(asked.heat_thresholds), POOLED]
    return [Rule(measure, limit, heat) for measure, limit in limits for heat in heats]


def with_overlaps(detections: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Add the best IoBB and the best IoU of each detected box over its pair's drawn boxes.

    Args:
        detections: image, finding, x, y, width, height, … (D rows).
        drawn: image, finding, x, y, width, height, in the same pixels.

    Returns:
        The detections, in their order, with float columns ``iobb`` and ``iou``.
    """
    truth = drawn.groupby(PAIR).indices
    boxes, drawn_boxes = (table[BOX].to_numpy(np.float64) for table in (detections, drawn))
    best = np.zeros((len(detections), 2))
    for pair, places in detections.groupby(PAIR).indices.items():
        found, true = boxes[places], drawn_boxes[truth[pair]]
        best[places, 0] = iobb(found, true).max(axis=1)
        best[places, 1] = iou(found, true).max(axis=1)
    return detections.assign(iobb=best[:, 0], iou=best[:, 1])


def hits_and_false_boxes(
    pairs: pd.DataFrame, overlaps: pd.DataFrame, asked: Sequence[Rule]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Score every pair by every rule.

    Args:
        pairs: image, finding (P rows).
        overlaps: detections of these pairs with their overlaps, see :func:`with_overlaps`.
        asked: K rules.

    Returns:
        Whether the pair is hit (P, K), and how many of its boxes are no hit (P, K).
    """
    place = pd.MultiIndex.from_frame(pairs[PAIR]).get_indexer(
        pd.MultiIndex.from_frame(overlaps[PAIR])
    )
    values = {name: overlaps[name].to_numpy(np.float64) for name in ("iobb", "iou")}
    heat_of_box = overlaps["heat_threshold"].to_numpy()
    right = np.zeros((len(pairs), len(asked)), np.int64)
    wrong = np.zeros_like(right)
    for column, (measure, limit, heat) in enumerate(asked):
        chosen = np.full(len(overlaps), True) if heat == POOLED else heat_of_box == heat
        beyond = values[measure] > limit
        right[:, column] = np.bincount(place[chosen & beyond], minlength=len(pairs))
        wrong[:, column] = np.bincount(place[chosen & ~beyond], minlength=len(pairs))
    return right > 0, wrong
