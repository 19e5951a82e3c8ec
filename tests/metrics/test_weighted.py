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

from cxr14.metrics import auroc as auroc_module
from cxr14.metrics.auroc import (
    auroc,
    confusion_curve,
    macro_auroc,
    weighted_auroc,
    weighted_auroc_and_ap,
)
from cxr14.metrics.bootstrap import confusion_counts, draw_replicates
from tests.evaluation.comparison.conftest import repeated
from tests.loaded import loaded
from tests.metrics.areas import areas

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
    return areas(labels, scores, np.ones((1, len(labels))))[1][0]


def decisions(labels, probabilities, threshold, weights=ONCE):
    """F1, precision, recall and specificity of one finding."""
    called = (probabilities >= threshold)[:, None]
    counts = confusion_counts(labels[:, None], called, np.arange(len(labels)), weights.T)
    names = ("f1", "precision", "recall", "specificity")
    return {name: getattr(counts, name)()[:, 0].tolist() for name in names}


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
    aurocs, precisions = areas(labels, scores, weights)
    for area, precision, weight in zip(aurocs, precisions, weights, strict=True):
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
    area = areas(labels, scores, np.ones((1, len(labels)), np.int64))[0][0]
    expected = auroc(labels, scores)
    assert np.isnan(area) if expected is None else area == expected


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(cases)
def test_the_auroc_is_the_exact_share_of_pairs_rounded_once(case):
    """Of whole numbers: so ties between epochs are decided alike on every machine."""
    labels, scores, _ = case
    ahead = scores[labels > 0][:, None] - scores[labels == 0]
    if ahead.size:
        doubled = 2 * int((ahead > 0).sum()) + int((ahead == 0).sum())
        assert auroc(labels, scores) == doubled / (2 * ahead.size)


def test_pooled_areas_are_micro_averages():
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 3)) < 0.3).astype(int)
    scores = np.round(labels + generator.normal(0, 1, (60, 3)), 1)
    weights = generator.integers(0, 4, (5, 60))
    entries, image = (labels.reshape(-1, 1), scores.reshape(-1, 1)), np.repeat(np.arange(60), 3)
    values = weighted_auroc_and_ap(*entries, image, weights.T)
    for area, precision, weight in zip(*values, weights, strict=True):
        repeated = (np.repeat(one, weight, axis=0) for one in (labels, scores))
        flat = [one.ravel() for one in repeated]
        assert area == pytest.approx(roc_auc_score(*flat), abs=1e-12)
        assert precision == pytest.approx(average_precision_score(*flat), abs=1e-12)


def test_equal_scores_rank_nothing():
    aurocs, precisions = areas(LABELS, np.full(4, 0.3), [[1, 1, 1, 1], [2, 1, 1, 0]])
    assert aurocs.tolist() == [0.5, 0.5]
    assert precisions.tolist() == [0.5, 0.75]  # the prevalence


def test_no_image_and_no_positive_give_no_area():
    for labels in (np.zeros(0), np.zeros(3), np.ones(3)):
        assert np.isnan(areas(labels, labels, np.ones((2, len(labels))))).all()


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
    counts = confusion_counts(labels, called, np.arange(50), weights.T)
    entries = labels.reshape(-1, 1), called.reshape(-1, 1)
    micro = confusion_counts(*entries, np.repeat(np.arange(50), 2), weights.T).f1()
    for row, weight in enumerate(weights):
        for column in (0, 1):
            one = {
                "y_true": labels[:, column],
                "y_pred": called[:, column],
                "sample_weight": weight,
            }
            assert counts.f1()[row, column] == pytest.approx(f1_score(**one))
            assert counts.precision()[row, column] == pytest.approx(precision_score(**one))
            assert counts.recall()[row, column] == pytest.approx(recall_score(**one))
            mirrored = one | {"pos_label": 0}
            assert counts.specificity()[row, column] == pytest.approx(recall_score(**mirrored))
        expected = f1_score(labels, called, sample_weight=weight, average="micro")
        assert micro[row, 0] == pytest.approx(expected)


@pytest.fixture
def finding():
    generator = np.random.default_rng(3)
    patients = generator.integers(0, 40, 150)
    labels = generator.random(150) < 0.3
    scores = np.round(labels + generator.normal(0, 1, 150), 1)  # one decimal: ties
    return labels, scores, draw_replicates(patients, np.random.default_rng(0), 25)


def test_weights_by_patient_give_the_area_of_scikit_learn_on_repeated_images(finding):
    labels, scores, replicates = finding
    values = weighted_auroc(labels[:, None], scores[:, None], *replicates)[:, 0]
    for area, counts in zip(values, replicates.counts.T, strict=True):
        weights = counts[replicates.owner]
        expected = roc_auc_score(repeated(labels, weights), repeated(scores, weights))
        assert area == pytest.approx(expected, abs=1e-9)


def test_weights_by_patient_and_by_image_are_the_same(finding):
    labels, scores, replicates = finding
    values = weighted_auroc_and_ap(labels[:, None], scores[:, None], *replicates)
    expected = areas(labels, scores, replicates.counts[replicates.owner].T)
    np.testing.assert_array_equal([column[:, 0] for column in values], expected)


def test_some_weightings_at_a_time_are_the_same_as_all_at_once(finding, monkeypatch):
    labels, scores, (owner, counts) = finding
    columns = labels[:, None], scores[:, None]
    whole = weighted_auroc(*columns, owner, counts)
    wide = np.tile(counts, 5)  # 130 weightings, three blocks of 50
    monkeypatch.setattr(auroc_module, "BLOCK_SIZE", 1)
    np.testing.assert_array_equal(weighted_auroc(*columns, owner, wide), np.tile(whole, (5, 1)))


def test_a_hand_computed_case_with_a_tie():
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1])
    weights = [[1, 1, 1, 1], [2, 1, 1, 3]]
    # once: 2 + 0.5 + 1 of 4 pairs; weighted: 2·(1 + 3) + 0.5 + 3 of 3·4 pairs
    assert areas(labels, scores, weights)[0].tolist() == [3.5 / 4, 11.5 / 12]


def test_a_weighting_without_positives_or_without_negatives_is_nan():
    aurocs, _ = areas(np.array([1, 0]), np.array([0.9, 0.1]), [[1, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(aurocs, [1, np.nan, np.nan])


def test_the_measures_do_not_import_torch():
    modules = [
        *(f"metrics.{name}" for name in ("auroc", "bootstrap", "calibration", "curves")),
        *(f"evaluation.{name}" for name in ("predict", "evaluate", "tables", "predictions")),
        *("localization.overlap", "report.terminal"),
    ]
    assert loaded((f"cxr14.{name}" for name in modules), ["torch"]) == set()
