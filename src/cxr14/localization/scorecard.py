"""The content of metrics/localize/B.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxr14.findings import CLASSES
from cxr14.localization.detect import listed_findings
from cxr14.localization.scoring import accuracy, key, mean_accuracy_interval, pair_hits, score_at
from cxr14.ranking import mean_over_scored

HEADLINE = (0.1, 0.5)  # T(IoBB) whose mean accuracy stands at the top of the file


def measure(
    pairs: pd.DataFrame,
    overlaps: pd.DataFrame,
    t_iobb: Sequence[float],
    t_iou: Sequence[float],
    heat_thresholds: Sequence[int],
    generator: np.random.Generator,
    classes: Sequence[str] = CLASSES,
) -> dict[str, Any]:
    """Score the detected boxes at every T.

    Args:
        pairs: image, finding, patient (P rows).
        overlaps: detections with ``iobb`` and ``iou``.
        t_iobb: limits on the IoBB.
        t_iou: limits on the IoU.
        heat_thresholds: of 255.
        generator: draws the bootstrap of patients.
        classes: what the network was trained on.

    Returns:
        ``iobb`` and ``iou`` by limit (0.25 is ``t25``), ``n`` boxed images by finding
        (None for one that was not trained: its scores are None too), the headline means
        ``mean_accuracy_iobb_t10`` (with its 95 % interval) and ``_t50``, None if there is no
        boxed image.
    """
    findings = listed_findings(pairs)
    at = {
        name: {
            key(limit): score_at(pairs, overlaps, name, limit, findings, heat_thresholds)
            for limit in limits
        }
        for name, limits in (("iobb", t_iobb), ("iou", t_iou))
    }
    hits = {limit: pair_hits(pairs, overlaps, "iobb", limit) for limit in HEADLINE}
    mean = {
        limit: mean_over_scored([*accuracy(pairs, hits[limit], findings).values()])[0]
        for limit in HEADLINE
    }
    low, high = mean_accuracy_interval(pairs, hits[0.1], generator)
    counts = pairs["finding"].value_counts()
    return {
        "mean_accuracy_iobb_t10": mean[0.1],
        "mean_accuracy_iobb_t10_low": low,
        "mean_accuracy_iobb_t10_high": high,
        "mean_accuracy_iobb_t50": mean[0.5],
        "boxed_images": int(pairs["image"].nunique()),
        "boxed_pairs": len(pairs),
        "findings_scored": int((counts > 0).sum()),
        "n": {name: int(counts.get(name, 0)) if name in classes else None for name in findings},
        **at,
    }
