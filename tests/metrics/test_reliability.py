"""Brier score, calibration error and their bins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cxr14.metrics.calibration import (
    brier,
    calibration_error,
    chance_calibration_error,
    equal_mass_bins,
    reliability_bins,
    weighted_calibration_errors,
)

cases = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.float64, n, elements=st.integers(0, 8).map(lambda i: i / 8)),
    )
)


def test_bins_hold_equally_many_images():
    probabilities = np.random.default_rng(0).random(100)
    bins = equal_mass_bins(probabilities)
    assert np.bincount(bins).tolist() == [10] * 10
    assert (np.diff(bins[np.argsort(probabilities)]) >= 0).all()


def test_the_calibration_error_by_hand():
    # Bins of two: predicted .15 and .8, observed 0 and .5.
    labels, probabilities = np.array([0, 1, 0, 0]), np.array([0.2, 0.9, 0.1, 0.7])
    table = reliability_bins(labels, probabilities, bins=2)
    assert table == {
        "predicted": pytest.approx([0.15, 0.8]),
        "observed": pytest.approx([0, 0.5]),
        "images": pytest.approx([2, 2]),
    }
    assert calibration_error(labels, probabilities, bins=2) == pytest.approx((0.15 + 0.3) / 2)


def test_equal_probabilities_are_one_bin():
    labels = np.array([1, 0, 0, 0])
    table = reliability_bins(labels, np.full(4, 0.75))
    assert [values.tolist() for values in table.values()] == [[0.75], [0.25], [4]]
    assert calibration_error(labels, np.full(4, 0.75)) == 0.5


def test_no_images_are_no_bins():
    assert not any(map(len, reliability_bins(np.zeros(0), np.zeros(0)).values()))


def test_the_curve_is_that_of_scikit_learn_where_no_probabilities_are_equal():
    generator = np.random.default_rng(1)
    probabilities = generator.random(500)
    labels = generator.random(500) < probabilities**2
    observed, predicted = calibration_curve(labels, probabilities, n_bins=10, strategy="quantile")
    table = reliability_bins(labels, probabilities)
    assert table["predicted"] == pytest.approx(predicted)
    assert table["observed"] == pytest.approx(observed)


def test_equal_width_would_hide_what_equal_mass_shows():
    """A rare finding: all probabilities below .1, and ranked the wrong way round."""
    generator = np.random.default_rng(2)
    probabilities = generator.uniform(0, 0.1, 20_000)
    labels = generator.random(20_000) < 0.1 - probabilities
    assert abs(probabilities.mean() - labels.mean()) < 0.002  # what one wide bin would say
    assert calibration_error(labels, probabilities) == pytest.approx(0.05, abs=0.004)


def test_chance_alone_lifts_the_error_of_a_perfect_forecast_as_the_docstring_says():
    generator = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        probabilities = generator.uniform(0.19, 0.21, 250)
        errors.append(calibration_error(generator.random(250) < probabilities, probabilities))
    assert np.mean(errors) == pytest.approx(np.sqrt(2 * 0.2 * 0.8 * 10 / (np.pi * 250)), rel=0.1)


def test_the_chance_level_is_the_mean_error_of_labels_that_follow_the_probabilities():
    generator = np.random.default_rng(4)
    probabilities = np.round(generator.beta(0.5, 3, 200), 2)  # some are equal
    labels = generator.random((400, 200)) < probabilities
    expected = np.mean([calibration_error(row, probabilities) for row in labels])
    assert chance_calibration_error(probabilities, generator) == pytest.approx(expected, rel=0.1)
    fewer = chance_calibration_error(probabilities[::4], generator)
    assert fewer == pytest.approx(2 * expected, rel=0.2)  # a quarter of the images


def test_a_certain_forecast_has_no_error_by_chance():
    assert chance_calibration_error(np.array([0.0, 1, 1, 0]), np.random.default_rng(0)) == 0


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases, st.randoms(use_true_random=False))
def test_brier_is_scikit_learns_and_the_error_is_bounded_and_blind_to_order(case, random):
    labels, probabilities = case
    expected = brier_score_loss(labels, probabilities, pos_label=1)
    assert brier(labels, probabilities) == pytest.approx(expected, abs=1e-12)
    error = calibration_error(labels, probabilities)
    assert 0 <= error <= 1
    order = np.array(random.sample(range(len(labels)), len(labels)))
    assert calibration_error(labels[order], probabilities[order]) == pytest.approx(error)


def test_calibration_errors_of_many_weightings_are_those_of_repeated_images():
    """In the bins of the images themselves: here of two equal probabilities each."""
    labels, probabilities = np.array([0, 1, 0, 0]), np.array([0.1, 0.1, 0.8, 0.8])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]], np.float64)
    # Rows: (.8 + 1.6) / 4, (.2 + 1.6) / 4, (2.7 + .8) / 4.
    columns = labels[:, None], probabilities[:, None]
    found = weighted_calibration_errors(*columns, np.arange(len(labels)), weights.T)[:, 0]
    assert found == pytest.approx([0.6, 0.45, 0.875])
    assert found[0] == pytest.approx(calibration_error(labels, probabilities))
