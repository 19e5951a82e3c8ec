"""The threshold of highest F1."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from cxr14.evaluation.measures import unscorable_reason
from cxr14.metrics.calibration import highest_f1

cases = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.float32, n, elements=st.sampled_from(np.linspace(0, 1, 7, dtype="f4"))),
    )
)


def test_the_threshold_by_hand():
    # F1 from 0.9: 2/3; from 0.6: 2/4; from 0.4: 4/5; from 0.1: 4/6.
    assert highest_f1(np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.4, 0.1])) == 0.4


def test_of_equally_good_thresholds_the_highest_is_taken():
    # From 0.8: 1 hit of 1 call, 2 positives, F1 2/3. From 0.2: 2 hits of 4 calls, F1 2/3.
    labels, probabilities = np.array([1, 0, 0, 1, 0]), np.array([0.8, 0.6, 0.4, 0.2, 0.1])
    assert highest_f1(labels, probabilities) == 0.8


def test_an_image_at_the_threshold_is_positive():
    threshold = highest_f1(np.array([1, 0]), np.array([0.1, 0.05], np.float32))
    assert threshold == float(np.float32(0.1))


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases)
def test_no_threshold_does_better(case):
    labels, probabilities = case
    threshold = highest_f1(labels, probabilities)
    if threshold is None:
        assert labels.min() == labels.max()
        return
    tried = {
        float(t): f1_score(labels, probabilities >= t, zero_division=0)
        for t in np.unique(probabilities)
    }
    best = max(tried.values())
    assert threshold == max(t for t, f1 in tried.items() if np.isclose(f1, best, atol=1e-12))


def test_a_missing_class_gives_no_threshold_and_says_why():
    assert highest_f1(np.zeros(3), np.ones(3)) is None
    assert unscorable_reason(np.zeros(3)) == "validation holds no positives among 3 images"
    assert unscorable_reason(np.ones(3)) == "validation holds no negatives among 3 images"
    assert unscorable_reason(np.array([0, 1])) is None
