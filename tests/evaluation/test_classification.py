"""AUROC, average precision and scores at a threshold."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.evaluation.classification import average_precision, decision_scores, finding_scores
from cxr14.ranking import auroc, macro_auroc, tallies

LABELS = np.array([1, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.8, 0.1])

# Few distinct scores, so that ties are common.
cases = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.float64, n, elements=st.integers(-3, 3).map(float)),
    )
)


def test_equal_scores_are_one_step_of_the_tally():
    thresholds, true_positives, false_positives = tallies(LABELS, SCORES)
    assert thresholds.tolist() == [0.9, 0.8, 0.1]
    assert true_positives.tolist() == [1, 2, 2]
    assert false_positives.tolist() == [0, 1, 2]


def test_a_tie_counts_half_in_the_auroc():
    assert auroc(LABELS, SCORES) == 3.5 / 4  # of four pairs one is tied


def test_average_precision_by_hand():
    assert average_precision(LABELS, SCORES) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases)
def test_auroc_and_average_precision_are_those_of_scikit_learn(case):
    labels, scores = case
    if labels.min() == labels.max():
        assert auroc(labels, scores) is None
        assert average_precision(labels, scores) is None
        return
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    expected = average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases)
def test_turning_scores_round_mirrors_the_auroc(case):
    labels, scores = case
    if labels.min() != labels.max():
        assert auroc(labels, scores) + auroc(labels, -scores) == pytest.approx(1)


def test_no_finding_stays_out_of_the_macro_mean():
    labels, scores = np.zeros((4, 15)), np.zeros((4, 15))
    labels[:, 0], scores[:, 0] = LABELS, SCORES
    labels[:, 3], scores[:, 3] = LABELS, -SCORES
    labels[:, 14], scores[:, 14] = LABELS, [1, 0, 1, 0]
    assert macro_auroc(labels, scores) == (0.5, 2)


def test_the_macro_mean_over_no_finding_at_all_is_none():
    assert macro_auroc(np.zeros((3, 15)), np.zeros((3, 15))) == (None, 0)
    assert macro_auroc(np.zeros((0, 15)), np.zeros((0, 15))) == (None, 0)


def test_f1_precision_and_recall_at_a_threshold_by_hand():
    assert decision_scores(LABELS, SCORES, 0.8) == {
        "f1": 2 * 2 / (3 + 2),
        "precision": 2 / 3,
        "recall": 1.0,
    }


def test_precision_is_null_when_nothing_is_called_but_f1_is_nought():
    scores = decision_scores(LABELS, SCORES, 0.95)
    assert scores == {"f1": 0.0, "precision": None, "recall": 0.0}


def test_a_finding_without_positives_is_null_with_its_counts():
    scores = finding_scores(np.zeros(4), SCORES, SCORES, threshold=0.5)
    assert (scores["positives"], scores["negatives"]) == (0, 4)
    assert scores["prevalence"] == 0
    for name in ("auroc", "average_precision", "f1", "precision", "recall"):
        assert scores[name] is None


def test_a_finding_without_threshold_keeps_its_auroc():
    scores = finding_scores(LABELS, SCORES, SCORES, threshold=None)
    assert scores["auroc"] == 3.5 / 4
    assert scores["f1"] is None


def test_the_measures_do_not_import_torch():
    rooms = [
        *(f"evaluation.{name}" for name in ("bootstrap", "calibration", "curves", "predict")),
        *(f"evaluation.{name}" for name in ("scorecard", "terminal", "thresholds")),
        *(f"localization.{name}" for name in ("boxes", "overlap", "scoring")),
    ]
    code = (
        f"import sys, {', '.join('cxr14.' + room for room in rooms)}; print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "False"
