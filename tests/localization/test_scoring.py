"""Hits and false boxes, by hand."""

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.overlap import (
    POOLED,
    Rule,
    Thresholds,
    hits_and_false_boxes,
    rules,
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
GROUND_TRUTH = pd.DataFrame(
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


@pytest.fixture
def overlaps():
    return with_overlaps(DETECTED, GROUND_TRUTH)


def test_a_detected_box_takes_its_best_overlap_over_the_ground_truth_boxes_of_its_pair(overlaps):
    assert overlaps["iobb"].tolist() == [0, 1, 0.4, 0.5, 0.2]
    assert overlaps["iou"].to_numpy() == pytest.approx([0, 16 / 100, 40 / 160, 50 / 150, 20 / 180])


def test_overlap_does_not_depend_on_the_order_of_the_rows(overlaps):
    turned = with_overlaps(DETECTED.iloc[::-1], GROUND_TRUTH.iloc[::-1])
    pd.testing.assert_frame_equal(turned.iloc[::-1], overlaps)


@pytest.mark.parametrize(
    ("rule", "hits", "wrong"),
    [
        (Rule("iobb", 0.25, 60), [1, 1, 0, 0], [1, 0, 0, 0]),
        (Rule("iobb", 0.25, 180), [1, 0, 0, 0], [0, 0, 0, 1]),
        (Rule("iobb", 0.25, POOLED), [1, 1, 0, 0], [1, 0, 0, 1]),
        # An overlap equal to the limit is no hit, and the box is false.
        (Rule("iobb", 0.5, POOLED), [1, 0, 0, 0], [2, 1, 0, 1]),
        # At nought any overlap will do, but a pair without a box stays a miss.
        (Rule("iobb", 0.0, POOLED), [1, 1, 0, 1], [1, 0, 0, 0]),
        (Rule("iou", 0.3, POOLED), [0, 1, 0, 0], [3, 0, 0, 1]),
    ],
)
def test_hits_and_false_boxes_by_hand(overlaps, rule, hits, wrong):
    hit, false = hits_and_false_boxes(PAIRS, overlaps, [rule])
    assert hit[:, 0].tolist() == hits
    assert false[:, 0].tolist() == wrong


def test_hits_of_two_heats_pooled_are_hits_of_either_and_false_boxes_add_up(overlaps):
    asked = rules(Thresholds([0.1, 0.25, 0.5], [0.1, 0.2], [60, 180]))
    hit, false = hits_and_false_boxes(PAIRS, overlaps, asked)
    assert len(asked) == 15
    low, high, pooled = (np.arange(heat, 15, 3) for heat in range(3))
    assert (hit[:, pooled] == (hit[:, low] | hit[:, high])).all()
    assert (false[:, pooled] == false[:, low] + false[:, high]).all()


def test_boxes_in_another_order_score_the_same(overlaps):
    asked = rules(Thresholds([0.1, 0.5], [0.1], [60, 180]))
    turned = hits_and_false_boxes(PAIRS, overlaps.iloc[::-1], asked)
    for one, other in zip(turned, hits_and_false_boxes(PAIRS, overlaps, asked), strict=True):
        assert (one == other).all()
