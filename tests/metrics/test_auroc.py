"""The score that chooses the epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxr14.metrics.auroc import auroc, macro_auroc


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40).filter(
        lambda pairs: len({label for label, _ in pairs}) == 2
    )
)
def test_the_area_is_that_of_scikit_learn_with_ties_too(pairs):
    labels = np.array([label for label, _ in pairs])
    scores = np.array([score for _, score in pairs], np.float32)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("label", [True, False])
def test_without_both_labels_there_is_no_area(label):
    assert auroc(np.full(3, label), np.array([0.1, 0.2, 0.3], np.float32)) is None


def test_the_macro_mean_is_over_the_findings_that_can_be_scored():
    """Finding 0 is ranked right (1), finding 1 wrong (0); No Finding does not count."""
    labels, scores = np.zeros((4, 15), np.float32), np.zeros((4, 15), np.float32)
    labels[:2, 0], labels[2:, 1], labels[:2, 14] = 1, 1, 1
    scores[:2, :2] = 1
    scores[:2, 14] = 1
    assert macro_auroc(labels, scores) == (0.5, 2)


def test_without_any_finding_to_score_there_is_no_mean():
    labels = np.zeros((4, 15), np.float32)
    labels[:2, 14] = 1
    assert macro_auroc(labels, np.zeros((4, 15), np.float32)) == (None, 0)


def test_the_macro_mean_of_fewer_classes_is_over_the_findings_among_them():
    """Finding 0 is ranked right (1), finding 1 wrong (0); the last is No Finding, or a third."""
    labels = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 0]], np.float32)
    scores = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]], np.float32)
    assert macro_auroc(labels, scores, ["Mass", "Hernia", "No Finding"]) == (0.5, 2)
    assert macro_auroc(labels, scores, ["Mass", "Nodule", "Hernia"]) == (2 / 3, 3)
    with pytest.raises(ValueError, match="zip"):  # names that are not those of the columns
        macro_auroc(labels, scores)
