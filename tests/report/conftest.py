"""Metrics as the other stages write them, by their own code."""

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxr14.findings import BOXED, FINDINGS
from cxr14.localization.scorecard import measure


def evaluated(auroc: float | None) -> dict[str, Any]:
    """The part of metrics/evaluate/B.json that the report reads."""
    return {
        "macro_auroc": auroc,
        "macro_auroc_low": None if auroc is None else auroc - 0.02,
        "macro_auroc_high": None if auroc is None else auroc + 0.02,
        "macro_average_precision": 0.31,
        "macro_f1": 0.28,
        "findings_scored": 13,
        "no_finding": {"auroc": 0.66},
        "validation": {"macro_auroc": 0.77},
        "findings": {name: {"auroc": auroc} for name in FINDINGS} | {"Hernia": {"auroc": None}},
    }


@pytest.fixture
def metrics() -> dict[str, dict[str, Any]]:
    """Two backbones, the worse one first; one box of each boxed finding, half of them hit."""
    images = [f"{n}.png" for n in range(len(BOXED))]
    pairs = pd.DataFrame({"image": images, "finding": BOXED, "patient": range(len(BOXED))})
    overlaps = pairs[["image", "finding"]].assign(
        heat_threshold=60, iobb=[0.9, 0.0] * 4, iou=[0.5, 0.0] * 4
    )
    boxes = measure(pairs, overlaps, [0.1, 0.5], [0.1], [60], np.random.default_rng(1))
    return {
        "alexnet": {"evaluate": evaluated(0.72), "localize": deepcopy(boxes)},
        "resnet50": {"evaluate": evaluated(0.81), "localize": boxes},
    }


@pytest.fixture
def baseline() -> dict[str, Any]:
    """The part of metrics/baseline.json that the report reads."""
    test = {"macro_auroc": 0.5, "macro_average_precision": 0.1, "macro_f1": 0.0}
    return {"test": {**test, "findings_scored": 14, "images": 7}}
