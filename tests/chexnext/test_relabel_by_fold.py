"""Members that relabel each fold, and their thresholds."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.relabel import relabel

CLASSES = ["Mass", "No Finding"]
FOLDS = np.array([0, 0, 1, 1, NO_FOLD, NO_FOLD, NO_FOLD])
VAL = np.array([False] * 4 + [True] * 2 + [False])  # the last is a test image
LABELS = np.array([[0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], float)


def logits_of(mass):
    probabilities = np.asarray(mass, float)
    return np.stack([logit(probabilities), np.zeros(7)], axis=1).astype(np.float32)


A = logits_of([0.9, 0.1, 0.9, 0.9, 0.8, 0.2, 0.9])  # leaves out fold 0
B = logits_of([0.1, 0.1, 0.2, 0.7, 0.6, 0.1, 0.9])  # leaves out fold 1


def relabelled(count=2, fold_of=None, folds=FOLDS):
    fold_of = {"a": 0, "b": 1} if fold_of is None else fold_of
    return relabel({"a": A, "b": B}, fold_of, count, folds, VAL, LABELS, CLASSES)


def test_each_fold_is_relabelled_by_the_members_that_left_it_out_at_their_threshold() -> None:
    result = relabelled()
    np.testing.assert_allclose(result.probabilities[:4, 0], [0.9, 0.1, 0.2, 0.7], rtol=1e-5)
    assert result.thresholds[0]["Mass"] == pytest.approx(0.8)
    assert result.thresholds[1]["Mass"] == pytest.approx(0.6)
    assert result.thresholds[NO_FOLD]["Mass"] == pytest.approx(0.7)  # of both
    np.testing.assert_array_equal(result.present[:4, 0], [True, False, False, True])


def test_val_is_relabelled_by_all_members_and_test_by_none() -> None:
    result = relabelled()
    np.testing.assert_allclose(result.probabilities[4:6, 0], [0.7, 0.15], rtol=1e-5)
    assert np.isnan(result.probabilities[6]).all()
    np.testing.assert_array_equal(result.present[6], [True, False])  # as it was


def test_the_margin_is_the_distance_in_logits_and_there_is_none_for_no_finding() -> None:
    result = relabelled()
    assert result.margins[0, 0] == pytest.approx(logit(0.9) - logit(0.8), rel=1e-4)
    assert result.margins[1, 0] < 0
    assert np.isnan(result.margins[:, 1]).all()


def test_the_threshold_of_each_image_is_recorded() -> None:
    result = relabelled()
    np.testing.assert_allclose(result.limits[:6, 0], [0.8, 0.8, 0.6, 0.6, 0.7, 0.7], rtol=1e-5)
    assert np.isnan(result.limits[6]).all()  # test is not relabelled
    assert np.isnan(result.limits[:, 1]).all()  # No Finding has none


def test_in_the_plain_form_train_is_relabelled_by_the_average_of_all() -> None:
    plain = relabelled(1, {"a": 0, "b": 0}, np.where(FOLDS == NO_FOLD, NO_FOLD, 0))
    both = (expit(A[:4, 0].astype(float)) + expit(B[:4, 0].astype(float))) / 2
    np.testing.assert_allclose(plain.probabilities[:4, 0], both)
    assert plain.thresholds[0] == plain.thresholds[NO_FOLD]
