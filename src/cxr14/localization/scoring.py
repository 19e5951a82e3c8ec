"""Hits, accuracy and false positives of detected boxes (NumPy and pandas only).

The rule, fixed once. The unit is a pair of image and finding with at least one drawn box. The
984 boxes of NIH make 984 pairs (on 880 images); in other data a pair may hold several boxes,
and a detected box then overlaps the pair by its **best** value over them. A pair is a hit at T
if any of its detected boxes overlaps by more than T, and counts once however many boxes hit.
A detected box that overlaps by T or less is a false positive; AFP divides their number by the
finding's boxed images. `pooled` takes the boxes of all heat thresholds together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.evaluation.bootstrap import (
    RESAMPLES,
    mean_ignoring_nan,
    patient_weights,
    percentile_interval,
)
from cxr14.localization.overlap import iobb, iou
from cxr14.ranking import mean_over_scored

BOX = ["x", "y", "width", "height"]
PAIR = ["image", "finding"]
ByFinding = dict[str, float | None]


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


def pair_hits(
    pairs: pd.DataFrame, overlaps: pd.DataFrame, measure: str, limit: float
) -> npt.NDArray[np.bool_]:
    """Say for each of P pairs whether any of its boxes overlaps by more than ``limit``: (P,)."""
    best = overlaps.groupby(PAIR)[measure].max()
    wanted = pd.MultiIndex.from_frame(pairs[PAIR])
    return np.asarray(best.reindex(wanted).fillna(0.0).to_numpy(float) > limit)


def accuracy(
    pairs: pd.DataFrame, hits: npt.NDArray[np.bool_], findings: Sequence[str]
) -> ByFinding:
    """Share of hit pairs by finding; None for a finding without boxed images."""
    shares = pd.Series(hits).groupby(pairs["finding"].to_numpy()).mean()
    return {name: float(shares[name]) if name in shares else None for name in findings}


def false_positives(
    pairs: pd.DataFrame,
    overlaps: pd.DataFrame,
    measure: str,
    limit: float,
    findings: Sequence[str],
) -> ByFinding:
    """Boxes that are no hit, per boxed image of the finding (AFP); None without boxed images."""
    images = pairs["finding"].value_counts()
    wrong = overlaps.loc[overlaps[measure] <= limit, "finding"].value_counts()
    return {
        name: float(wrong.get(name, 0) / images[name]) if name in images else None
        for name in findings
    }


def score_at(
    pairs: pd.DataFrame,
    overlaps: pd.DataFrame,
    measure: str,
    limit: float,
    findings: Sequence[str],
    heat_thresholds: Sequence[int],
) -> dict[str, Any]:
    """Score all findings at one T.

    Args:
        pairs: image, finding (P rows).
        overlaps: detections with their overlaps, see :func:`with_overlaps`.
        measure: iobb or iou.
        limit: T, in [0, 1).
        findings: names to report.
        heat_thresholds: of 255.

    Returns:
        ``accuracy`` by finding and ``mean_accuracy`` (all heat thresholds pooled),
        ``accuracy_by_heat`` by heat threshold and finding, ``afp`` by finding and heat
        threshold or ``pooled``.
    """
    sets = {str(t): overlaps[overlaps["heat_threshold"] == t] for t in heat_thresholds}
    sets["pooled"] = overlaps
    rates = {
        heat: accuracy(pairs, pair_hits(pairs, boxes, measure, limit), findings)
        for heat, boxes in sets.items()
    }
    wrong = {
        heat: false_positives(pairs, boxes, measure, limit, findings)
        for heat, boxes in sets.items()
    }
    pooled = rates.pop("pooled")
    return {
        "accuracy": pooled,
        "mean_accuracy": mean_over_scored(list(pooled.values()))[0],
        "accuracy_by_heat": rates,
        "afp": {name: {heat: wrong[heat][name] for heat in sets} for name in findings},
    }


def mean_accuracy_interval(
    pairs: pd.DataFrame,
    hits: npt.NDArray[np.bool_],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float | None, float | None]:
    """95 % percentile interval of the mean accuracy over findings, patients resampled.

    Args:
        pairs: finding and patient (P rows).
        hits: (P,).
        generator: source of the draws.
        resamples: how many.
    """
    if not len(pairs):
        return None, None
    member = pd.get_dummies(pairs["finding"]).to_numpy(np.float64)  # (P, findings)
    weights = patient_weights(pairs["patient"].to_numpy(), resamples, generator)
    counts, hit = weights @ member, (weights * hits) @ member  # (R, findings)
    shares = np.where(counts > 0, hit / np.maximum(counts, 1), np.nan)
    return percentile_interval(mean_ignoring_nan(shares))


def key(limit: float) -> str:
    """Name a threshold without a dot, for `dvc metrics diff`: 0.25 is t25, 0.125 is t12_5."""
    return "t" + f"{100 * limit:g}".replace(".", "_")


def limit_of(name: str) -> float:
    """Return the threshold that :func:`key` named."""
    return float(name.removeprefix("t").replace("_", ".")) / 100
