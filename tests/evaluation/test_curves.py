"""Points of ROC and precision-recall curves."""

import numpy as np
import pytest

from cxr14.evaluation.curves import curve_tables, precision_recall_points, roc_points
from cxr14.ranking import auroc


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
    for table in curve_tables(labels, scores):
        assert set(table["finding"]) == {"Effusion"}


def test_tables_without_any_curve_keep_their_columns():
    roc, recall = curve_tables(np.zeros((4, 15)), np.zeros((4, 15)))
    assert list(roc) == ["finding", "false_positive_rate", "true_positive_rate"]
    assert list(recall) == ["finding", "recall", "precision"]
    assert len(roc) == len(recall) == 0
