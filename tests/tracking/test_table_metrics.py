"""Which numbers of the tables become MLflow metrics."""

import math

import pandas as pd

from cxr14.tracking.table_metrics import PER_FINDING, table_metrics
from tests.report.written import boxes, findings, pointing

CLASSES = ("Effusion", "Mass", "Hernia")


def numbers():
    tables = {"findings": findings(0.8, CLASSES), "accuracy": boxes(CLASSES)}
    return table_metrics(tables | {"pointing": pointing(), "crossfit": pd.DataFrame()})


def test_each_finding_has_its_scores_under_the_name_of_the_measure():
    known = numbers()
    assert known["auroc/Mass"] == 0.8
    assert known["average_precision/Mass"] == 0.335
    assert known["brier/Mass"] == 0.137
    assert math.isnan(known["auroc/Hernia"])
    assert {name.split("/")[1] for name in known if name.startswith("auroc/")} == set(CLASSES)


def test_boxes_have_their_mean_at_every_limit_and_each_finding_one_score():
    known = numbers()
    assert known["localize/iobb/mean_accuracy/t25"] == 0.515
    assert known["localize/iou/mean_afp/t70"] == 1.275
    assert known["accuracy_iobb_t10/Effusion"] == 0.515
    assert known["pointing/Effusion"] == 0.455
    assert "pointing/mean" not in known


def test_they_stay_few_enough_for_charts():
    """Intervals, heat thresholds and controls stay in the files."""
    means, by_box = 12 * 2, 3 * 8
    assert len(numbers()) < len(PER_FINDING) * len(CLASSES) + means + by_box + 1
    assert not [name for name in numbers() if "low" in name or "random" in name]
