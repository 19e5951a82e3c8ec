"""Points of curves."""

import numpy as np
import pytest

from cxr14.metrics.auroc import auroc
from cxr14.metrics.calibration import highest_f1
from cxr14.metrics.curves import (
    curve_tables,
    precision_recall_points,
    reliability_points,
    roc_points,
    threshold_f1_points,
)


def test_few_points_are_all_kept():
    points = roc_points(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert points["false_positive_rate"].tolist() == [0, 0, 0.5, 0.5, 1]
    assert points["true_positive_rate"].tolist() == [0, 0.5, 0.5, 1, 1]
    points = precision_recall_points(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert points["recall"].tolist() == [0.5, 0.5, 1, 1]
    assert points["precision"].tolist() == [1, 1 / 2, 2 / 3, 1 / 2]


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    generator = np.random.default_rng(0)
    labels = generator.random(5000) < 0.02
    scores = labels + generator.normal(0, 1, 5000)
    points = roc_points(labels, scores)
    assert len(points) <= 200
    assert points.iloc[0].tolist() == [0, 0]
    assert points.iloc[-1].tolist() == [1, 1]
    area = np.trapezoid(points["true_positive_rate"], points["false_positive_rate"])
    assert area == pytest.approx(auroc(labels, scores), abs=0.005)
    points = precision_recall_points(labels, scores)
    assert len(points) <= 200
    assert points["recall"].is_monotonic_increasing
    assert points["recall"].iloc[-1] == 1


def test_a_finding_that_cannot_be_scored_has_no_curve():
    labels, scores = np.zeros((4, 15)), np.zeros((4, 15))
    labels[0, 2] = 1
    for table in curve_tables(labels, scores, scores).values():
        assert set(table["finding"]) == {"Effusion"}


def test_ranked_curves_are_of_logits_and_the_others_of_probabilities():
    labels, logits = np.array([[1], [0], [0]]), np.array([[60.0], [50.0], [40.0]])
    tables = curve_tables(labels, logits, np.ones((3, 1)), ["Mass"])
    assert len(tables["roc"]) == 4  # three scores, and the origin
    assert tables["threshold_f1"].to_numpy().tolist() == [["Mass", 1.0, 0.5]]
    assert tables["reliability"].to_numpy().tolist() == [["Mass", 1.0, pytest.approx(1 / 3), 3]]


def test_tables_without_any_curve_keep_their_columns():
    tables = curve_tables(*np.zeros((3, 4, 15)))
    assert {name: list(table) for name, table in tables.items()} == {
        "roc": ["finding", "false_positive_rate", "true_positive_rate"],
        "pr": ["finding", "recall", "precision"],
        "reliability": ["finding", "predicted", "observed", "images"],
        "threshold_f1": ["finding", "threshold", "f1"],
    }
    assert not any(map(len, tables.values()))


def test_reliability_compares_predicted_with_observed():
    points = reliability_points(np.array([0, 1]), np.array([0.25, 0.75]))
    assert points.to_dict("list") == {
        "predicted": [0.25, 0.75],
        "observed": [0, 1],
        "images": [1, 1],
    }


def test_f1_by_threshold_by_hand():
    # From 0.9: 2/3; from 0.6: 2/4; from 0.4: 4/5; from 0.1: 4/6.
    points = threshold_f1_points(np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.4, 0.1]))
    assert points["threshold"].tolist() == [0.1, 0.4, 0.6, 0.9]
    assert points["f1"].tolist() == pytest.approx([4 / 6, 4 / 5, 2 / 4, 2 / 3])


def test_a_thinned_f1_curve_keeps_its_ends_and_its_best_threshold():
    generator = np.random.default_rng(0)
    labels = generator.random(5000) < 0.02
    probabilities = generator.random(5000) ** 4 * (0.5 + 0.5 * labels)
    points = threshold_f1_points(labels, probabilities)
    assert len(points) <= 200
    assert points["threshold"].is_monotonic_increasing
    assert points["threshold"].iloc[[0, -1]].tolist() == [probabilities.min(), probabilities.max()]
    best = points["threshold"][points["f1"].idxmax()]
    assert best == highest_f1(labels, probabilities)
