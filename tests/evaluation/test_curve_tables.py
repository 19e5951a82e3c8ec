"""Tables of the curves of all classes."""

import numpy as np
import pytest

from cxr14.evaluation.tables import curve_tables


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
