"""Platt scaling: a logistic curve that turns one finding's logits into probabilities."""

import numpy as np
from scipy.special import expit

from cxr14.ranking import Array, Floats, scorable

ROUNDS = 100
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
    present = labels > 0
    positives, negatives = int(present.sum()), int((~present).sum())
    targets = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    values = np.asarray(logits, np.float64)
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    slope, intercept = _logistic_fit((values - centre) / spread, targets) / (spread, 1.0)
    return round(float(slope), DIGITS), round(float(intercept - slope * centre), DIGITS)


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
