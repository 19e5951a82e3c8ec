"""AUROC, average precision and scores at a threshold, under one weighting and under many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cxr14.metrics.auroc import auroc, confusion_curve, macro_auroc
from cxr14.metrics.bootstrap import sort_scores, weighted_auroc_and_ap, weighted_confusion_counts
from tests.loaded import loaded

LABELS = np.array([1, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.8, 0.1])

ONCE = np.ones((1, 4), np.int64)

# Few distinct scores, so that ties are common.
cases = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.float64, n, elements=st.integers(-3, 3).map(float)),
        hnp.arrays(np.int64, (2, n), elements=st.integers(0, 3)),
    )
)


def average_precision(labels, scores):
    """Of every image once."""
    return weighted_auroc_and_ap(labels, scores, np.ones((1, len(labels)), np.int64))[1][0]


def decisions(labels, probabilities, threshold, weights=ONCE):
    """F1, precision, recall and specificity of one finding."""
    called = (probabilities >= threshold)[:, None]
    measures = weighted_confusion_counts(labels[:, None], called, weights).measures()
    return {name: values[:, 0].tolist() for name, values in measures.items()}


def test_equal_scores_are_one_step_of_the_tally():
    thresholds, true_positives, false_positives = confusion_curve(LABELS, SCORES)
    assert thresholds.tolist() == [0.9, 0.8, 0.1]
    assert true_positives.tolist() == [1, 2, 2]
    assert false_positives.tolist() == [0, 1, 2]


def test_a_tie_counts_half_in_the_auroc():
    assert auroc(LABELS, SCORES) == 3.5 / 4  # of four pairs one is tied


def test_average_precision_by_hand():
    assert average_precision(LABELS, SCORES) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(cases)
def test_weighted_areas_are_those_of_scikit_learn(case):
    labels, scores, weights = case
    areas, precisions = weighted_auroc_and_ap(labels, scores, weights)
    for area, precision, weight in zip(areas, precisions, weights, strict=True):
        kept = labels[weight > 0]
        if not len(kept) or kept.min() == kept.max():
            assert np.isnan(area)
            assert np.isnan(precision)
            continue
        expected = roc_auc_score(labels, scores, sample_weight=weight)
        assert area == pytest.approx(expected, abs=1e-12)
        expected = average_precision_score(labels, scores, sample_weight=weight)
        assert precision == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases)
def test_with_every_image_once_the_auroc_is_that_of_training(case):
    labels, scores, _ = case
    area = weighted_auroc_and_ap(labels, scores, np.ones((1, len(labels)), np.int64))[0][0]
    expected = auroc(labels, scores)
    assert np.isnan(area) if expected is None else area == pytest.approx(expected, abs=1e-12)


def test_pooled_areas_are_micro_averages():
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 3)) < 0.3).astype(int)
    scores = np.round(labels + generator.normal(0, 1, (60, 3)), 1)
    weights = generator.integers(0, 4, (5, 60))
    areas, precisions = sort_scores(labels, scores).auroc_and_ap(weights)
    for area, precision, weight in zip(areas, precisions, weights, strict=True):
        repeated = (np.repeat(one, weight, axis=0) for one in (labels, scores))
        flat = [one.ravel() for one in repeated]
        assert area == pytest.approx(roc_auc_score(*flat), abs=1e-12)
        assert precision == pytest.approx(average_precision_score(*flat), abs=1e-12)


def test_equal_scores_rank_nothing():
    areas, precisions = weighted_auroc_and_ap(
        LABELS, np.full(4, 0.3), np.array([[1, 1, 1, 1], [2, 1, 1, 0]])
    )
    assert areas.tolist() == [0.5, 0.5]
    assert precisions.tolist() == [0.5, 0.75]  # the prevalence


def test_no_image_and_no_positive_give_no_area():
    for labels in (np.zeros(0), np.zeros(3), np.ones(3)):
        areas, precisions = weighted_auroc_and_ap(
            labels, labels, np.ones((2, len(labels)), np.int64)
        )
        assert np.isnan([*areas, *precisions]).all()


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(cases)
def test_turning_scores_round_mirrors_the_auroc(case):
    labels, scores, _ = case
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


def test_scores_at_a_threshold_by_hand():
    # Called are the positives of .9 and .8, and the negative of .8.
    assert decisions(LABELS, SCORES, 0.8) == {
        "f1": [2 * 2 / (3 + 2)],
        "precision": [2 / 3],
        "recall": [1],
        "specificity": [1 / 2],
    }


def test_precision_is_nan_when_nothing_is_called_but_f1_is_nought():
    found = decisions(LABELS, SCORES, 0.95)
    assert np.isnan(found.pop("precision")).all()
    assert found == {"f1": [0], "recall": [0], "specificity": [1]}


def test_a_weighting_without_both_classes_has_no_scores():
    found = decisions(LABELS, SCORES, 0.8, np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]))
    assert np.isnan(list(found.values())).all()


def test_weighted_scores_at_a_threshold_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    labels, called = generator.random((2, 50, 2)) < 0.4
    weights = generator.integers(0, 4, (6, 50))
    calls = weighted_confusion_counts(labels, called, weights)
    found, micro = calls.measures(), calls.pooled(np.array([True, True])).measures()
    for row, weight in enumerate(weights):
        for column in (0, 1):
            one = {
                "y_true": labels[:, column],
                "y_pred": called[:, column],
                "sample_weight": weight,
            }
            assert found["f1"][row, column] == pytest.approx(f1_score(**one))
            assert found["precision"][row, column] == pytest.approx(precision_score(**one))
            assert found["recall"][row, column] == pytest.approx(recall_score(**one))
            mirrored = one | {"pos_label": 0}
            assert found["specificity"][row, column] == pytest.approx(recall_score(**mirrored))
        expected = f1_score(labels, called, sample_weight=weight, average="micro")
        assert micro["f1"][row, 0] == pytest.approx(expected)


def test_the_measures_do_not_import_torch():
    modules = [
        *(f"metrics.{name}" for name in ("auroc", "bootstrap", "calibration", "curves")),
        *(f"evaluation.{name}" for name in ("predict", "evaluate", "tables", "predictions")),
        *("localization.boxes", "report.terminal"),
    ]
    assert loaded((f"cxr14.{name}" for name in modules), ["torch"]) == set()
