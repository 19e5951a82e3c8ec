"""The thresholds of a decision on the scale of calibrated probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import logit

from cxr14.metrics.auroc import Floats
from cxr14.metrics.calibration import platt_probabilities


def thresholds(decision: Mapping[str, Any], classes: Sequence[str]) -> Floats:
    """Return the thresholds (C,) on uncalibrated probabilities; NaN for a class without one.

    Args:
        decision: content of decision.json.
        classes: C names.
    """
    return np.array([decision["thresholds"][name] for name in classes], np.float64)


def calibrated_thresholds(decision: Mapping[str, Any], classes: Sequence[str]) -> Floats:
    """Return the same thresholds (C,) by Platt scaling.

    NaN without one, without scaling, and where the scaling does not preserve the order of scores
    (slope ≤ 0): a class is then called at low calibrated probabilities.

    Args:
        decision: content of decision.json.
        classes: C names.
    """
    scaling = [decision["platt"][name] for name in classes]
    rising = [fit is not None and fit["slope"] > 0 for fit in scaling]
    logits = logit(thresholds(decision, classes))[None]
    return np.where(rising, platt_probabilities(logits, decision["platt"], classes)[0], np.nan)
