"""Platt scaling: a logistic curve that turns one finding's logits into probabilities.

Temperature scaling, the same curve without its intercept, is there for comparison: a weighted loss
shifts the log-odds of a rare finding, and no temperature moves a logit of 0 from one half.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from cxr14.ranking import Array, Floats, scorable

ROUNDS = 100
COLDEST, HOTTEST = 0.01, 100.0
DIGITS = 6  # more would record the order of a machine's additions


def platt(labels: Array, logits: Array) -> tuple[float, float] | None:
    """Fit slope and intercept so that sigmoid(slope × logit + intercept) is calibrated.

    Platt's smoothed targets, (P + 1) / (P + 2) and 1 / (N + 2), keep the fit finite when the
    classes are separable (Platt 1999; Lin, Lin and Weng 2007, "A note on Platt's probabilistic
    outputs"). Newton's method on standardised logits, so the result has no seed.

    Args:
        labels: (N,) of 0 and 1.
        logits: (N,) finite.

    Returns:
        (slope, intercept), rounded to six places. None if one class is missing. Where all
        logits are equal the slope is 0. The slope is negative for a finding that the network
        ranks the wrong way round.
    """
    if not scorable(labels):
        return None
    targets = _smoothed(labels)
    values = np.asarray(logits, np.float64)
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    slope, intercept = _logistic_fit((values - centre) / spread, targets) / (spread, 1.0)
    return round(float(slope), DIGITS), round(float(intercept - slope * centre), DIGITS)


def temperature(labels: Array, logits: Array) -> float | None:
    """Fit T so that sigmoid(logit / T) is calibrated (Guo et al. 2017, section 4.2).

    Of one finding, on Platt's smoothed targets: what sets it apart from :func:`platt` is the
    missing intercept alone. The loss is convex in 1 / T, so T is where its slope is 0.

    Args:
        labels: (N,) of 0 and 1.
        logits: (N,) finite.

    Returns:
        T in [0.01, 100], rounded to six places; 100 also for a finding that the network ranks the
        wrong way round. None if one class is missing.
    """
    if not scorable(labels):
        return None
    targets, values = _smoothed(labels), np.asarray(logits, np.float64)

    def slope(sharpness: float) -> float:
        return float(values @ (expit(sharpness * values) - targets))

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return round(1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12)), DIGITS)


def platt_probabilities(
    logits: Array, fits: Mapping[str, Mapping[str, float] | None], classes: Sequence[str]
) -> Floats:
    """Calibrate logits (N, C) by ``platt`` of decision.json: (N, C), NaN for a class without."""
    slopes = [(fits[name] or {}).get("slope", np.nan) for name in classes]
    intercepts = [(fits[name] or {}).get("intercept", np.nan) for name in classes]
    return np.asarray(expit(np.asarray(logits, np.float64) * slopes + intercepts))


def temperature_probabilities(
    logits: Array, fits: Mapping[str, float | None], classes: Sequence[str]
) -> Floats:
    """Calibrate logits (N, C) by ``temperature`` of decision.json: (N, C), NaN without."""
    temperatures = np.array([fits[name] for name in classes], np.float64)
    return np.asarray(expit(np.asarray(logits, np.float64) / temperatures))


def _smoothed(labels: Array) -> Floats:
    """Platt's targets (N,): not quite 1 and not quite 0, by how few there are of each."""
    present = labels > 0
    positives, negatives = int(present.sum()), int((~present).sum())
    return np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _logistic_fit(values: Floats, targets: Floats) -> Floats:
    """Minimise the cross entropy of soft targets (N,) over (slope, intercept), float64 (2,)."""
    design = np.stack([values, np.ones_like(values)], axis=1)  # (N, 2)

    def loss(fit: Floats) -> float:
        linear = design @ fit
        return float((np.logaddexp(0.0, linear) - targets * linear).sum())

    fit = np.zeros(2)
    for _ in range(ROUNDS):
        estimate = expit(design @ fit)
        gradient = design.T @ (estimate - targets)
        spread = estimate * (1 - estimate)
        curvature = design.T @ (design * spread[:, None]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        gain = float(gradient @ step)
        if gain < 1e-14:
            break
        size = 1.0
        while size > 1e-8 and loss(fit - size * step) > loss(fit) - 1e-4 * size * gain:
            size /= 2
        fit = fit - size * step
    return fit
