"""The published figures, as typed."""

import pytest

from cxr14.labels import BOXED, CHESTXRAY8, FINDINGS
from cxr14.report.published import (
    CHESTXRAY8_NETWORKS,
    CLASSIFICATION,
    EXPERT,
    IOBB,
    IOU,
    OFFICIAL,
    RANDOM,
    SPLITS,
)

MEANS = {  # as printed, to three places
    "Wang ResNet50": 0.745,
    "DenseNet121": 0.804,  # .807 is printed, which its own figures do not give
    "AE-CNN": 0.824,
    "SwinCheX": 0.810,
    "CheXNet": 0.841,
    "CheXNeXt": 0.849,
}


@pytest.mark.parametrize("column", CLASSIFICATION, ids=lambda column: column.name)
def test_a_column_has_the_mean_that_is_printed_below_it(column):
    assert list(column.auroc) == list(FINDINGS)
    mean = sum(column.auroc.values()) / len(column.auroc)
    assert mean == pytest.approx(MEANS[column.name], abs=0.001)


def test_every_figure_has_a_source_and_a_split():
    for one in (*CLASSIFICATION, *CHESTXRAY8_NETWORKS, *IOBB, *IOU):
        assert one.source
        assert one.split in SPLITS
    splits = [column.split for column in CLASSIFICATION]
    assert splits == [OFFICIAL] * 4 + [RANDOM, EXPERT]
    assert CLASSIFICATION[-1].images == 420


def test_wangs_networks_are_on_the_eight_findings_of_a_random_split():
    assert len(CHESTXRAY8_NETWORKS) == 5
    for column in CHESTXRAY8_NETWORKS:
        assert list(column.auroc) == list(CHESTXRAY8)
        assert column.split == RANDOM
    best = {max(CHESTXRAY8_NETWORKS, key=lambda c: c.auroc[n]).name for n in CHESTXRAY8}
    assert "ResNet50 W-CEL" in best


@pytest.mark.parametrize("table", [*IOBB, *IOU], ids=lambda table: f"{table.name} {table.measure}")
def test_accuracy_falls_and_false_boxes_rise_with_the_limit(table):
    """A digit typed wrongly would most likely break this order."""
    for values, sign in ((table.accuracy, -1), (table.afp, 1)):
        limits = sorted(values)
        for place in range(len(BOXED)):
            column = [sign * values[limit][place] for limit in limits]
            assert column == sorted(column)


def test_the_limits_are_those_of_the_paper():
    assert [list(table.accuracy) for table in IOBB] == [[0.1, 0.25, 0.5, 0.75, 0.9]] * 2
    assert [list(table.afp) for table in IOBB] == [[0.1, 0.25, 0.5, 0.75, 0.9]] * 2
    assert [list(table.accuracy) for table in IOU] == [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]]
    assert not IOU[0].afp


def test_wangs_accuracy_and_false_boxes_fall_below_one_together_hence_the_caveat():
    table = IOBB[0]
    nodule = BOXED.index("Nodule")
    assert table.accuracy[0.1][nodule] + table.afp[0.1][nodule] < 1
