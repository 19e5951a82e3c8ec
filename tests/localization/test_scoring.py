"""Hits, accuracy and false positives, by hand."""

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.scoring import (
    key,
    limit_of,
    mean_accuracy_interval,
    pair_hits,
    score_at,
    with_overlaps,
)

BOX = ["image", "finding", "x", "y", "width", "height"]
PAIRS = pd.DataFrame(
    {
        "image": ["1", "2", "3", "3"],
        "finding": ["Mass", "Mass", "Mass", "Nodule"],
        "patient": [1, 2, 3, 3],
    }
)
DRAWN = pd.DataFrame(
    [
        ("1", "Mass", 0, 0, 10, 10),
        ("1", "Mass", 50, 50, 10, 10),  # a second box of the same finding
        ("2", "Mass", 0, 0, 10, 10),
        ("3", "Mass", 0, 0, 10, 10),
        ("3", "Nodule", 0, 0, 10, 10),
    ],
    columns=BOX,
)
# IoBB: 0 (60), 1 of the second box (60), .4 (180), .5 (60), .2 (180); image 3 has no Mass box.
DETECTED = pd.DataFrame(
    [
        ("1", "Mass", 20, 20, 5, 5, 60),
        ("1", "Mass", 52, 52, 4, 4, 60),
        ("1", "Mass", 6, 0, 10, 10, 180),
        ("2", "Mass", 5, 0, 10, 10, 60),
        ("3", "Nodule", 8, 0, 10, 10, 180),
    ],
    columns=[*BOX, "heat_threshold"],
)
FINDINGS = ["Mass", "Nodule", "Effusion"]


@pytest.fixture
def overlaps():
    return with_overlaps(DETECTED, DRAWN)


def test_a_detected_box_takes_its_best_overlap_over_the_drawn_boxes_of_its_pair(overlaps):
    assert overlaps["iobb"].tolist() == [0, 1, 0.4, 0.5, 0.2]
    assert overlaps["iou"].to_numpy() == pytest.approx([0, 16 / 100, 40 / 160, 50 / 150, 20 / 180])


def test_overlap_does_not_depend_on_the_order_of_the_rows(overlaps):
    turned = with_overlaps(DETECTED.iloc[::-1], DRAWN.iloc[::-1])
    pd.testing.assert_frame_equal(turned.iloc[::-1], overlaps)


def test_scores_at_a_quarter_by_hand(overlaps):
    scores = score_at(PAIRS, overlaps, "iobb", 0.25, FINDINGS, [60, 180])
    assert scores["accuracy"] == {"Mass": 2 / 3, "Nodule": 0, "Effusion": None}
    assert scores["mean_accuracy"] == pytest.approx(1 / 3)
    assert scores["accuracy_by_heat"]["60"] == {"Mass": 2 / 3, "Nodule": 0, "Effusion": None}
    assert scores["accuracy_by_heat"]["180"] == {"Mass": 1 / 3, "Nodule": 0, "Effusion": None}
    assert scores["afp"] == {
        "Mass": {"60": 1 / 3, "180": 0, "pooled": 1 / 3},
        "Nodule": {"60": 0, "180": 1, "pooled": 1},
        "Effusion": {"60": None, "180": None, "pooled": None},
    }


def test_overlap_equal_to_the_limit_is_no_hit_and_a_false_positive(overlaps):
    scores = score_at(PAIRS, overlaps, "iobb", 0.5, FINDINGS, [60, 180])
    assert scores["accuracy"]["Mass"] == 1 / 3
    assert scores["afp"]["Mass"] == {"60": 2 / 3, "180": 1 / 3, "pooled": 1}


def test_a_pair_without_any_box_is_a_miss_even_at_nought(overlaps):
    assert pair_hits(PAIRS, overlaps, "iobb", 0.0).tolist() == [True, True, False, True]


def test_the_interval_is_that_of_a_loop_over_resampled_patients(overlaps):
    from cxr14.evaluation.bootstrap import patient_weights

    hits = pair_hits(PAIRS, overlaps, "iobb", 0.1)
    low, high = mean_accuracy_interval(PAIRS, hits, np.random.default_rng(0), 200)
    means = []
    for weights in patient_weights(PAIRS["patient"].to_numpy(), 200, np.random.default_rng(0)):
        drawn = PAIRS.assign(hit=hits).loc[PAIRS.index.repeat(weights)]
        means.append(drawn.groupby("finding")["hit"].mean().mean())
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_limits_are_named_without_dots():
    limits, names = [0.1, 0.25, 0.05, 0.7, 0.125], ["t10", "t25", "t5", "t70", "t12_5"]
    assert [key(limit) for limit in limits] == names
    assert [limit_of(name) for name in names] == limits
