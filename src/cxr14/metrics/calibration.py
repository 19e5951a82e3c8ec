"""Calibration of one finding (Platt and temperature scaling), its errors, and F1 thresholds.

Temperature scaling has no intercept and is for comparison: a weighted loss shifts the log-odds of a
rare finding, and no temperature moves a logit of 0 from a probability of one half.

Images with an unknown label (below 0) are left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, root
from scipy.special import expit

from cxr14.metrics.auroc import Array, Counts, Floats, confusion_curve, known_only, scorable

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
DIGITS = 6  # further digits depend on the order of a processor's additions


def platt(labels: Array, logits: Array) -> tuple[float, float] | None:
    """Fit slope and intercept so that sigmoid(slope × logit + intercept) is calibrated.

    Platt's smoothed targets, (P + 1) / (P + 2) and 1 / (N + 2), keep the fit finite when the
    classes are separable (Platt 1999; Lin, Lin and Weng 2007, "A note on Platt's probabilistic
    outputs"). Logits are standardised for the fit.

    Args:
        labels: (N,) of 0 and 1.
        logits: (N,) finite.

    Returns:
        (slope, intercept), rounded to six places. None if one class is missing. The slope is 0 if
        all logits are equal, and negative if positives have lower logits than negatives.
    """
    if not scorable(labels):
        return None
    labels, logits = known_only(labels, logits)
    targets = _smoothed(labels)
    values = np.asarray(logits, np.float64)
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    slope, intercept = _logistic_fit((values - centre) / spread, targets) / (spread, 1.0)
    return round(float(slope), DIGITS), round(float(intercept - slope * centre), DIGITS)


def temperature(labels: Array, logits: Array) -> float | None:
    """Fit T so that sigmoid(logit / T) is calibrated (Guo et al. 2017, section 4.2).

    It is fitted to one finding and to Platt's smoothed targets, so it differs from :func:`platt`
    by the missing intercept alone. The loss is convex in 1 / T, so T is where its slope is 0.

    Args:
        labels: (N,) of 0 and 1.
        logits: (N,) finite.

    Returns:
        T in [0.01, 100], rounded to six places; 100 also if positives have lower logits than
        negatives. None if one class is missing.
    """
    if not scorable(labels):
        return None
    labels, logits = known_only(labels, logits)
    targets, values = _smoothed(labels), np.asarray(logits, np.float64)

    def slope(sharpness: float) -> float:
        return float(values @ (expit(sharpness * values) - targets))

    if slope(1 / MAX_TEMPERATURE) >= 0:
        return MAX_TEMPERATURE
    if slope(1 / MIN_TEMPERATURE) <= 0:
        return MIN_TEMPERATURE
    return round(
        1 / float(brentq(slope, 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, xtol=1e-12)), DIGITS
    )


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
    """Platt's smoothed targets (N,), see :func:`platt`."""
    present = labels > 0
    positives, negatives = int(present.sum()), int((~present).sum())
    return np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _logistic_fit(values: Floats, targets: Floats) -> Floats:
    """Minimise the cross entropy of soft targets (N,) over (slope, intercept), float64 (2,).

    The loss is strictly convex, so its minimum is the root of its gradient.
    """
    design = np.stack([values, np.ones_like(values)], axis=1)  # (N, 2)

    def gradient(fit: Floats) -> Floats:
        return np.asarray(design.T @ (expit(design @ fit) - targets))

    def hessian(fit: Floats) -> Floats:
        probability = expit(design @ fit)
        return np.asarray(design.T @ (design * (probability * (1 - probability))[:, None]))

    return np.asarray(root(gradient, np.zeros(2), jac=hessian, tol=1e-14).x)


BINS = 10
"""Number of bins of equal mass, each with some twenty test images of the default run.

Of ten bins of equal width the first would hold nearly all images of a rare finding.
"""


def brier(labels: Array, probabilities: Array) -> float:
    """Mean of (probability − label)² over N ≥ 1 images (Brier 1950), in [0, 1]."""
    labels, probabilities = known_only(labels, probabilities)
    return float(np.mean((probabilities.astype(np.float64) - (labels > 0)) ** 2))


def equal_mass_bins(probabilities: Array, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Assign each image to a bin by the rank of its probability.

    Equal probabilities share a bin, so the result does not depend on the order of the images. Bins
    are then of unequal mass, and some are empty.

    Args:
        probabilities: (N,).
        bins: number of bins.

    Returns:
        (N,) in 0 … bins − 1, higher for higher probabilities.
    """
    below = np.searchsorted(np.sort(probabilities), probabilities, side="left")
    return np.asarray(below * bins // max(len(probabilities), 1), np.int64)


def reliability_bins(labels: Array, probabilities: Array, bins: int = BINS) -> dict[str, Array]:
    """Compare predicted with observed frequencies in bins of equal mass.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].
        bins: largest number of bins.

    Returns:
        For the K bins that are not empty, by ascending probability: predicted (mean probability),
        observed (share of positives) and images, (K,) each.
    """
    labels, probabilities = known_only(labels, probabilities)
    bin_indices = equal_mass_bins(probabilities, bins)
    images = np.bincount(bin_indices, minlength=bins)
    filled = images > 0
    predicted, observed = (
        np.bincount(bin_indices, values, bins)[filled] / images[filled]
        for values in (probabilities.astype(np.float64), labels > 0)
    )
    return {"predicted": predicted, "observed": observed, "images": images[filled]}


def calibration_error(labels: Array, probabilities: Array, bins: int = BINS) -> float:
    """Mean of |predicted − observed| over bins, weighted by their images: the ECE.

    Naeini, Cooper and Hauskrecht 2015; equal mass: Nguyen and O'Connor 2015. A perfect forecast
    near p has an error of about √(2p(1 − p)·bins / (πN)) by chance, see
    :func:`chance_calibration_error`.

    Args:
        labels: (N,) of 0 and 1, N ≥ 1.
        probabilities: (N,) in [0, 1].
        bins: largest number of bins.

    Returns:
        In [0, 1].
    """
    predicted, observed, images = reliability_bins(labels, probabilities, bins).values()
    return float((np.abs(predicted - observed) * images).sum() / images.sum())


CHANCE_DRAWS = 200
"""Simulated sets of labels per class; the mean of their errors is within about 2 %."""


def chance_calibration_error(
    probabilities: Floats, generator: np.random.Generator, draws: int = CHANCE_DRAWS
) -> float:
    """Estimate the ECE that a perfectly calibrated forecast has with these probabilities.

    Labels are drawn from the probabilities, independently for each image, and scored in the same
    bins as by :func:`calibration_error` ("consistency resampling", Bröcker and Smith 2007).

    Args:
        probabilities: (N,) in [0, 1], N ≥ 1.
        generator: source of the labels.
        draws: number of simulated sets of labels.

    Returns:
        In [0, 1].
    """
    order = np.argsort(probabilities, kind="stable")
    ascending = probabilities[order].astype(np.float64)
    starts = np.unique(equal_mass_bins(ascending), return_index=True)[1]
    positives = generator.random((draws, len(ascending))) < ascending
    gaps = np.add.reduceat(positives, starts, axis=1, dtype=np.float64)
    gaps -= np.add.reduceat(ascending, starts)
    return float(np.abs(gaps).sum(axis=1).mean() / len(ascending))


def weighted_calibration_errors(
    labels: Array, probabilities: Array, owner: Counts, counts: Array
) -> Floats:
    """ECE of each class under every weighting, in the bins of the unweighted images.

    Args:
        labels: (N, C) of 0 and 1.
        probabilities: (N, C) in [0, 1]; NaN for a class that is not scored.
        owner: (N,) the patient of each image, see :class:`cxr14.metrics.bootstrap.Replicates`.
        counts: (P, W) how often each patient counts.

    Returns:
        (W, C) in [0, 1], NaN for a class with NaN and for a weighting without images; for weights
        of 1 that of :func:`calibration_error`.
    """
    n_classes = labels.shape[1]
    patients, row = np.unique(owner, return_inverse=True)
    known = labels >= 0
    bins = np.zeros(labels.T.shape, np.int64)
    for column, members in enumerate(known.T):
        bins[column, members] = equal_mass_bins(probabilities[members, column])
    cells = (row * n_classes + np.arange(n_classes)[:, None]) * BINS + bins  # (C, N)
    excess = np.nan_to_num(np.where(known, probabilities - (labels > 0), 0)).T
    by_patient = np.bincount(cells.ravel(), excess.ravel(), len(patients) * n_classes * BINS)
    weights = counts[patients].T.astype(np.float64)  # (W, patients)
    gaps = np.abs(weights @ by_patient.reshape(len(patients), n_classes * BINS))
    counted = [np.bincount(row, column, len(patients)) for column in known.T]
    images = weights @ np.stack(counted, axis=1)
    totals = gaps.reshape(len(weights), n_classes, BINS).sum(axis=2)
    unknown = (images == 0) | np.isnan(probabilities).any(axis=0)
    return np.where(unknown, np.nan, totals / np.maximum(images, 1))


def f1_by_threshold(labels: Array, probabilities: Array) -> tuple[Array, Floats]:
    """Return F1 with every observed probability as the threshold.

    Args:
        labels: (N,) of 0 and 1, with positives.
        probabilities: (N,) in [0, 1]; an image is positive if its probability ≥ threshold.

    Returns:
        The K distinct probabilities in descending order, and F1 with each as the threshold (K,).
    """
    thresholds, true_positives, false_positives = confusion_curve(labels, probabilities)
    positives = true_positives[-1]
    return thresholds, 2 * true_positives / (true_positives + false_positives + positives)


def highest_f1(labels: Array, probabilities: Array) -> float | None:
    """Find the threshold of highest F1, exactly, among all observed probabilities.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) in [0, 1].

    Returns:
        The threshold; the highest of equally good ones (fewest images called). None if the
        labels hold no positives or no negatives.
    """
    if not scorable(labels):
        return None
    candidates, f1 = f1_by_threshold(labels, probabilities)
    return float(candidates[np.argmax(f1)])  # the first of equals; candidates descend
