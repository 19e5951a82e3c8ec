"""AUROC by patient against scikit-learn on repeated images, and against evaluation's."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.metrics import auroc
from cxr14.metrics.auroc import aurocs
from cxr14.metrics.bootstrap import draw_replicates, weighted_auroc_and_ap
from tests.evaluation.comparison.conftest import repeated


@pytest.fixture
def finding():
    generator = np.random.default_rng(3)
    patients = generator.integers(0, 40, 150)
    labels = generator.random(150) < 0.3
    scores = np.round(labels + generator.normal(0, 1, 150), 1)  # one decimal: ties
    return labels, scores, draw_replicates(patients, np.random.default_rng(0), 25)


def test_areas_are_those_of_scikit_learn_on_repeated_images(finding):
    labels, scores, drawn = finding
    areas = aurocs(labels, scores, drawn.owner, drawn.counts)
    for area, counts in zip(areas, drawn.counts.T, strict=True):
        weights = counts[drawn.owner]
        expected = roc_auc_score(repeated(labels, weights), repeated(scores, weights))
        assert area == pytest.approx(expected, abs=1e-9)


def test_areas_are_those_of_evaluation(finding):
    labels, scores, drawn = finding
    weights = drawn.counts[drawn.owner].T.astype(np.int64)
    expected = weighted_auroc_and_ap(labels, scores, weights)[0]
    assert aurocs(labels, scores, drawn.owner, drawn.counts) == pytest.approx(expected, abs=1e-12)


def test_some_weightings_at_a_time_are_the_same_as_all_at_once(finding, monkeypatch):
    labels, scores, drawn = finding
    whole = aurocs(labels, scores, drawn.owner, drawn.counts)
    wide = np.tile(drawn.counts, 5)  # 130 weightings, three blocks of 50
    monkeypatch.setattr(auroc, "BLOCK_SIZE", 1)
    np.testing.assert_array_equal(aurocs(labels, scores, drawn.owner, wide), np.tile(whole, 5))


def test_a_hand_computed_case_with_a_tie():
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1])
    counts = np.array([[1, 2], [1, 1], [1, 1], [1, 3]], np.float32)  # once each; then 2, 1, 1, 3
    # once: 2 + 0.5 + 1 of 4 pairs; weighted: 2·(1 + 3) + 0.5 + 3 of 3·4 pairs
    assert aurocs(labels, scores, np.arange(4), counts) == pytest.approx([3.5 / 4, 11.5 / 12])


def test_a_weighting_without_positives_or_without_negatives_is_nan():
    counts = np.array([[1, 0, 1], [1, 1, 0]], np.float32)
    areas = aurocs(np.array([1, 0]), np.array([0.9, 0.1]), np.arange(2), counts)
    np.testing.assert_array_equal(areas, [1, np.nan, np.nan])
