"""The bootstrap over patients."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.evaluation.bootstrap import (
    interval,
    macro_auroc_interval,
    patient_weights,
    weighted_aurocs,
)
from cxr14.ranking import macro_auroc


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
    areas = weighted_aurocs(labels[:, 0], scores[:, 0], weights)
    for area, weight in zip(areas, weights, strict=True):
        expected = roc_auc_score(np.repeat(labels[:, 0], weight), np.repeat(scores[:, 0], weight))
        assert area == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_that_of_a_loop_with_scikit_learn(answers):
    labels, scores, patients = answers
    low, high = macro_auroc_interval(
        labels, scores, patients, np.random.default_rng(5), resamples=20
    )
    means = [
        np.mean(
            [
                roc_auc_score(np.repeat(labels[:, f], w), np.repeat(scores[:, f], w))
                for f in range(14)
            ]
        )
        for w in patient_weights(patients, 20, np.random.default_rng(5))
    ]
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-9)


def test_resamples_beyond_one_block_are_all_drawn(answers):
    labels, scores, patients = answers
    low, high = macro_auroc_interval(labels, scores, patients, np.random.default_rng(0), 230)
    area, _ = macro_auroc(labels, scores)
    assert low < area < high


def test_the_same_generator_gives_the_same_interval(answers):
    one, two = (macro_auroc_interval(*answers, np.random.default_rng(1), 30) for _ in range(2))
    assert one == two


def test_a_resample_without_positives_leaves_the_finding_out():
    labels, scores = np.zeros((4, 15)), np.zeros((4, 15))
    labels[0, 0], scores[0, 0] = 1, 1  # one patient holds the only positive
    low, high = macro_auroc_interval(labels, scores, np.arange(4), np.random.default_rng(0), 50)
    assert (low, high) == (1, 1)


def test_no_scorable_finding_gives_no_interval():
    nothing = np.zeros((4, 15))
    generator = np.random.default_rng(0)
    assert macro_auroc_interval(nothing, nothing, np.arange(4), generator) == (None, None)


def test_up_to_one_resample_in_twenty_may_be_left_out():
    values = np.append(np.full(5, np.nan), np.arange(95))
    assert interval(values) == (*np.percentile(np.arange(95), [2.5, 97.5]), 0.05)
    assert interval(np.append(np.nan, values)) == (None, None, 6 / 101)
    assert interval(np.full(3, np.nan)) == (None, None, 1.0)
    assert interval(np.zeros(0)) == (None, None, 1.0)
