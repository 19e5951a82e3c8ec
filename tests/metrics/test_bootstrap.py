"""The bootstrap over patients."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.metrics.bootstrap import (
    bias_corrected,
    interval,
    patient_weights,
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


def test_an_error_that_chance_lifts_is_shifted_back_to_its_value():
    """Plain percentiles of a resampled ECE lie above the ECE: .1 here, and every draw above it."""
    values = np.array([0.1, 0.2, 0.3, 0.4, np.nan, 0.1])
    assert bias_corrected(values)[[0, 1, 2, 4]] == pytest.approx([0.05, 0.15, 0.25, 0])
    assert np.isnan(bias_corrected(values)[3])
    assert len(bias_corrected(np.array([0.1]))) == 0
