"""Platt scaling."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import _sigmoid_calibration

from cxr14.metrics.calibration import (
    calibration_error,
    platt,
    platt_probabilities,
    temperature,
    temperature_probabilities,
)


def test_a_known_slope_and_intercept_are_recovered():
    # 100,000 draws: the standard error of the slope is about .01.
    generator = np.random.default_rng(0)
    logits = generator.normal(1.0, 2.0, 100_000)
    labels = generator.random(len(logits)) < expit(0.5 * logits - 1.0)
    slope, intercept = platt(labels, logits)
    assert slope == pytest.approx(0.5, abs=0.04)
    assert intercept == pytest.approx(-1.0, abs=0.05)


def test_the_fit_is_that_of_scikit_learn():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, 300)
    labels = (logits + generator.normal(0, 4, 300) > 1).astype(int)
    slope, intercept = platt(labels, logits)
    a, b = _sigmoid_calibration(logits, labels)  # 1 / (1 + exp(a x + b))
    assert (slope, intercept) == pytest.approx((-a, -b), abs=1e-3)


def test_separable_classes_give_a_finite_slope():
    slope, intercept = platt(np.array([0, 0, 1, 1]), np.array([-9.0, -8.0, 8.0, 9.0]))
    probabilities = expit(slope * np.array([-8.5, 8.5]) + intercept)
    assert probabilities == pytest.approx([0.25, 0.75], abs=0.01)  # the smoothed targets


def test_equal_logits_say_nothing_and_so_the_slope_is_nought():
    slope, intercept = platt(np.array([1, 0, 0, 0]), np.full(4, 2.5))
    assert slope == 0
    assert expit(intercept) == pytest.approx((2 / 3 + 3 / 5) / 4, abs=1e-5)


def test_huge_logits_neither_overflow_nor_warn():
    labels, logits = np.array([0, 1, 0, 1, 1]), np.array([-900.0, 800.0, 700.0, 950.0, -1000.0])
    assert np.isfinite(platt(labels, logits)).all()


def test_a_shift_and_a_stretch_of_the_logits_are_undone():
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 1, 200)
    labels = generator.random(200) < expit(logits)
    slope, intercept = platt(labels, logits)
    stretched = platt(labels, 10 * logits + 3)
    assert stretched == pytest.approx((slope / 10, intercept - 0.3 * slope), abs=2e-6)


def test_a_missing_class_gives_no_calibration():
    assert platt(np.ones(5), np.arange(5)) is None
    assert platt(np.zeros(0), np.zeros(0)) is None


def test_a_known_temperature_is_recovered():
    generator = np.random.default_rng(3)
    logits = generator.normal(0, 2, 100_000)
    labels = generator.random(len(logits)) < expit(logits / 2.5)
    assert temperature(labels, logits) == pytest.approx(2.5, rel=0.03)


def test_no_other_temperature_fits_better():
    generator = np.random.default_rng(4)
    logits = generator.normal(1, 2, 400)
    labels = generator.random(400) < expit(logits / 1.7)
    best = temperature(labels, logits)
    smoothed = np.where(
        labels, *((labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    )

    def loss(heat):
        return (np.logaddexp(0, logits / heat) - smoothed * logits / heat).sum()

    assert loss(best) <= min(loss(best * factor) for factor in (0.9, 0.99, 1.01, 1.1))


def test_a_temperature_stays_within_its_bounds():
    wrong_way_round = temperature(np.array([1, 1, 0, 0]), np.array([-9.0, -8.0, 8.0, 9.0]))
    assert wrong_way_round == 100
    assert temperature(np.array([1, 1, 0, 0]), np.array([0.001, 0.002, -0.001, -0.002])) == 0.01
    assert temperature(np.array([1, 0]), np.zeros(2)) == 100  # a logit of 0 is deaf to it
    assert temperature(np.ones(5), np.arange(5)) is None


def test_platt_mends_the_shift_of_a_weighted_loss_and_temperature_cannot():
    """Positives weighing nineteen times lift every log-odds by log 19."""
    generator = np.random.default_rng(5)
    true = generator.normal(-3.5, 1, 20_000)
    labels = generator.random(len(true)) < expit(true)
    logits = (true + np.log(19))[:, None]
    fit, heat = platt(labels, logits[:, 0]), temperature(labels, logits[:, 0])
    fits = {"Hernia": {"slope": fit[0], "intercept": fit[1]}}
    mended = platt_probabilities(logits, fits, ["Hernia"])[:, 0]
    heated = temperature_probabilities(logits, {"Hernia": heat}, ["Hernia"])[:, 0]
    assert calibration_error(labels, expit(logits[:, 0])) > 0.25
    assert calibration_error(labels, heated) > 0.2
    assert calibration_error(labels, mended) < 0.01


def test_a_class_without_a_fit_has_no_calibrated_probabilities():
    logits = np.array([[1.0, 2.0]])
    classes = ["Mass", "Hernia"]
    fits = {"Mass": {"slope": 2.0, "intercept": -1.0}, "Hernia": None}
    assert platt_probabilities(logits, fits, classes)[0] == pytest.approx(
        [expit(1.0), np.nan], nan_ok=True
    )
    heated = temperature_probabilities(logits, {"Mass": None, "Hernia": 4.0}, classes)
    assert heated[0] == pytest.approx([np.nan, expit(0.5)], nan_ok=True)
