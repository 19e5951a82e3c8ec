"""Who relabels what, at which thresholds."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.relabel import relabel

CLASSES = ["Mass", "No Finding"]
FOLDS = np.array([0, 0, 1, 1, NO_FOLD, NO_FOLD, NO_FOLD])
VAL = np.array([False] * 4 + [True] * 2 + [False])  # the last is a test image
LABELS = np.array([[0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], float)


def answers(mass):
    own = np.asarray(mass, float)
    return np.stack([logit(own), np.zeros(7)], axis=1).astype(np.float32)


A = answers([0.9, 0.1, 0.9, 0.9, 0.8, 0.2, 0.9])  # leaves out fold 0
B = answers([0.1, 0.1, 0.2, 0.7, 0.6, 0.1, 0.9])  # leaves out fold 1


def judged(count=2, fold_of=None, folds=FOLDS):
    own = {"a": 0, "b": 1} if fold_of is None else fold_of
    return relabel({"a": A, "b": B}, own, count, folds, VAL, LABELS, CLASSES)


def test_each_fold_is_answered_by_its_judges_at_their_own_threshold() -> None:
    own = judged()
    np.testing.assert_allclose(own.probabilities[:4, 0], [0.9, 0.1, 0.2, 0.7], rtol=1e-5)
    assert own.thresholds[0]["Mass"] == pytest.approx(0.8)
    assert own.thresholds[1]["Mass"] == pytest.approx(0.6)
    assert own.thresholds[NO_FOLD]["Mass"] == pytest.approx(0.7)  # of both
    np.testing.assert_array_equal(own.present[:4, 0], [True, False, False, True])


def test_val_is_answered_by_all_and_test_by_nobody() -> None:
    own = judged()
    np.testing.assert_allclose(own.probabilities[4:6, 0], [0.7, 0.15], rtol=1e-5)
    assert np.isnan(own.probabilities[6]).all()
    np.testing.assert_array_equal(own.present[6], [True, False])  # as it was


def test_the_margin_is_the_distance_in_logits_and_there_is_none_for_no_finding() -> None:
    own = judged()
    assert own.margins[0, 0] == pytest.approx(logit(0.9) - logit(0.8), rel=1e-4)
    assert own.margins[1, 0] < 0
    assert np.isnan(own.margins[:, 1]).all()


def test_beside_each_answer_stands_the_threshold_it_was_held_against() -> None:
    own = judged()
    np.testing.assert_allclose(own.limits[:6, 0], [0.8, 0.8, 0.6, 0.6, 0.7, 0.7], rtol=1e-5)
    assert np.isnan(own.limits[6]).all()  # nobody judges test
    assert np.isnan(own.limits[:, 1]).all()  # No Finding has none


def test_in_the_plain_form_train_is_answered_by_the_average_of_all() -> None:
    plain = judged(1, {"a": 0, "b": 0}, np.where(FOLDS == NO_FOLD, NO_FOLD, 0))
    both = (expit(A[:4, 0].astype(float)) + expit(B[:4, 0].astype(float))) / 2
    np.testing.assert_allclose(plain.probabilities[:4, 0], both)
    assert plain.thresholds[0] == plain.thresholds[NO_FOLD]
