"""Points of curves."""

import numpy as np
import pytest

from cxr14.metrics.auroc import auroc
from cxr14.metrics.calibration import highest_f1
from cxr14.metrics.curves import (
    precision_recall_points,
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
    ends = [(values[0], values[-1], len(values) <= 200) for values in points.values()]
    assert ends == [(0, 1, True)] * 2
    area = np.trapezoid(points["true_positive_rate"], points["false_positive_rate"])
    assert area == pytest.approx(auroc(labels, scores), abs=0.005)
    recall = precision_recall_points(labels, scores)["recall"]
    assert len(recall) <= 200
    assert (np.diff(recall) >= 0).all()
    assert recall[-1] == 1


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
    thresholds = points["threshold"]
    assert len(thresholds) <= 200
    assert (np.diff(thresholds) > 0).all()
    assert thresholds[[0, -1]].tolist() == [probabilities.min(), probabilities.max()]
    best = thresholds[points["f1"].argmax()]
    assert best == highest_f1(labels, probabilities)
