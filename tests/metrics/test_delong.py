"""DeLong's interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.metrics.auroc import delong, delong_interval, first_per_patient
from cxr14.metrics.bootstrap import interval, patient_weights
from tests.metrics.areas import areas


def by_pairs(labels, scores):
    """AUROC and variance from the table of all pairs, as DeLong et al. 1988 write them."""
    ahead = scores[labels > 0][:, None] - scores[labels == 0]
    won = (ahead > 0) + 0.5 * (ahead == 0)  # (positives, negatives)
    of_positives, of_negatives = won.mean(axis=1), won.mean(axis=0)
    variance = of_positives.var(ddof=1) / len(won) + of_negatives.var(ddof=1) / won.shape[1]
    return won.mean(), variance


def test_area_and_variance_by_hand():
    # Positives 3 and 1, negatives 2 and 0: positive 3 beats both, positive 1 one of two;
    # negative 2 loses to one of two, negative 0 to both. Variances .125 each, over 2 and 2.
    assert delong(np.array([1, 0, 1, 0]), np.array([3, 2, 1, 0])) == (0.75, 0.125)


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(st.integers(2, 15), st.integers(2, 15), st.integers(0, 10**6))
def test_midranks_give_what_the_table_of_pairs_gives(positives, negatives, seed):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 0], [positives, negatives]))
    scores = generator.integers(0, 6, len(labels))  # ties are common
    assert delong(labels, scores) == pytest.approx(by_pairs(labels, scores), abs=1e-12)


def test_the_bootstrap_of_independent_images_agrees():
    # Both ends within a tenth of the width: 1,000 resamples place an end to about .03 of it.
    generator = np.random.default_rng(0)
    labels = (generator.random(800) < 0.15).astype(int)
    scores = labels + generator.normal(0, 1, 800)
    low, high = delong_interval(labels, scores)
    weights = patient_weights(np.arange(800), 1000, np.random.default_rng(1))
    found = interval(areas(labels, scores, weights)[0])
    assert found == (
        pytest.approx(low, abs=(high - low) / 10),
        pytest.approx(high, abs=(high - low) / 10),
        0.0,
    )


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Of 400 studies 380 are expected, with a standard deviation of 4.4.
    generator, covered = np.random.default_rng(2), 0
    labels = np.repeat([1, 0], [40, 160])
    for _ in range(400):
        low, high = delong_interval(labels, labels + generator.normal(0, 1, 200))
        covered += low < 0.7602 < high  # Φ(1 / √2)
    assert 360 <= covered <= 396


def test_too_few_of_a_class_and_a_perfect_order_give_no_interval():
    assert delong(np.array([1, 0, 0]), np.array([1, 2, 3])) is None
    assert delong_interval(np.array([1, 0, 0]), np.array([1, 2, 3])) == (None, None)
    assert delong_interval(np.array([1, 1, 0, 0]), np.array([4, 3, 2, 1])) == (None, None)


def test_an_end_does_not_leave_the_unit_interval():
    labels, scores = np.array([1, 1, 1, 0, 0, 0]), np.array([6, 5, 3, 4, 2, 1])
    low, high = delong_interval(labels, scores)
    assert low > 0
    assert high == 1


def test_the_first_image_of_each_patient_stands_for_it():
    assert first_per_patient(np.array([7, 7, 3, 9, 3])).tolist() == [0, 2, 3]
