"""The bootstrap over patients."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.metrics.auroc import weighted_auroc_and_ap
from cxr14.metrics.bootstrap import (
    MIN_PATIENTS,
    bias_corrected,
    draw_replicates,
    enough_patients,
    interval,
    patient_weights,
    too_few_patients,
)
from tests.metrics.areas import areas


@pytest.fixture
def answers():
    generator = np.random.default_rng(3)
    patients = generator.integers(0, 40, 150)
    labels = (generator.random((150, 15)) < 0.3).astype(float)
    scores = np.round(labels + generator.normal(0, 1, (150, 15)), 1)  # one decimal: ties
    return labels, scores, patients


def test_images_of_one_patient_stay_together(answers):
    patients = answers[2]
    weights = patient_weights(patients, 50, np.random.default_rng(0))
    for patient in np.unique(patients):
        own = weights[:, patients == patient]
        assert (own == own[:, :1]).all()


def test_each_resample_draws_as_many_patients_as_there_are(answers):
    patients = answers[2]
    weights = patient_weights(patients, 50, np.random.default_rng(0))
    _, first = np.unique(patients, return_index=True)
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    assert weights.max() > 1


def test_weighted_aurocs_are_those_of_repeated_images(answers):
    labels, scores, patients = answers
    weights = patient_weights(patients, 20, np.random.default_rng(0))
    values = areas(labels[:, 0], scores[:, 0], weights)[0]
    for area, weight in zip(values, weights, strict=True):
        expected = roc_auc_score(np.repeat(labels[:, 0], weight), np.repeat(scores[:, 0], weight))
        assert area == pytest.approx(expected, abs=1e-9)


def test_up_to_one_resample_in_twenty_may_be_left_out():
    values = np.append(np.full(5, np.nan), np.arange(95))
    assert interval(values) == (*np.percentile(np.arange(95), [2.5, 97.5]), 0.05)
    assert interval(np.append(np.nan, values)) == (None, None, 6 / 101)
    assert interval(np.full(3, np.nan)) == (None, None, 1.0)
    assert interval(np.zeros(0)) == (None, None, 1.0)


def test_replicates_are_shifted_by_their_bias_once_or_twice_and_stay_within_the_bounds():
    """Plain percentiles of a resampled ECE lie above the ECE: .1 here, and every draw above it."""
    values = np.array([0.1, 0.2, 0.3, 0.4, np.nan, 0.1])  # the mean replicate is .25
    assert bias_corrected(values)[[0, 1, 2, 4]] == pytest.approx([0.05, 0.15, 0.25, 0])
    assert bias_corrected(values, 2)[[0, 1, 2, 4]] == pytest.approx([0, 0, 0.1, 0])
    assert bias_corrected(values, 2, (-1, 1))[[0, 1, 4]] == pytest.approx([-0.1, 0, -0.2])
    np.testing.assert_array_equal(bias_corrected(values, 0), values[1:])
    assert np.isnan(bias_corrected(values)[3])
    assert len(bias_corrected(np.array([0.1]))) == 0


def test_two_shifts_make_the_interval_of_a_macro_average_precision_cover_that_of_many_images():
    """Twenty findings of two normal distributions; plain percentiles cover one time in four."""
    generator, many = np.random.default_rng(4), np.random.default_rng(5)
    n, n_findings, prevalence = 150, 20, 0.1
    present = many.random(200_000) < prevalence
    expected = average_precision_score(present, many.normal(size=len(present)) + present)
    covered = {0: 0, 2: 0}
    for _ in range(40):
        labels = generator.random((n, n_findings)) < prevalence
        replicates = draw_replicates(np.arange(n), generator, 200)
        scores = generator.normal(size=labels.shape) + labels
        values = weighted_auroc_and_ap(labels, scores, *replicates)[1].mean(axis=1)
        for shifts in covered:
            low, high, _ = interval(bias_corrected(values, shifts))
            covered[shifts] += low <= expected <= high
    assert covered[0] <= 20
    assert covered[2] >= 32


def test_intervals_need_ten_patients_in_every_denominator():
    assert enough_patients(np.array([10, 9, 30]), np.array([10, 50, 3])).tolist() == [
        True,
        False,
        False,
    ]
    assert too_few_patients({"with it": 10, "without it": 11}) is None
    few = "too few patients with it: 9 of 10; too few patients without it: 0 of 10"
    assert too_few_patients({"with it": 9, "without it": 0}) == few
    assert too_few_patients({"": 19}, 2 * MIN_PATIENTS) == "too few patients: 19 of 20"
