"""IoU and IoBB of boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from cxr14.localization.overlap import intersection, iobb, iou

DETECTED = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 4.0, 5.0]])
GROUND_TRUTH = np.array([[5.0, 0.0, 10.0, 20.0], [10.0, 0.0, 5.0, 5.0]])

boxes = st.lists(
    st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(0.5, 50)] * 2), min_size=1, max_size=4
).map(np.array)


def test_intersection_iobb_and_iou_by_hand():
    assert intersection(DETECTED[:, None], GROUND_TRUTH).tolist() == [
        [50, 0],
        [0, 0],
    ]  # touching edges share nothing
    assert iobb(DETECTED[:, None], GROUND_TRUTH).tolist() == [[0.5, 0], [0, 0]]  # 50 of 100
    assert iou(DETECTED[:, None], GROUND_TRUTH).tolist() == [
        [50 / 250, 0],
        [0, 0],
    ]  # 100 + 200 − 50


def test_iobb_divides_by_the_detected_box():
    small, large = np.array([[2.0, 2.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 10.0, 10.0]])
    assert iobb(small, large) == 1
    assert iobb(large, small) == 0.04


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(boxes, boxes)
def test_both_lie_between_nought_and_one_and_iou_is_never_the_larger(first, second):
    for measure in (iobb, iou):
        values = measure(first[:, None], second)
        assert values.shape == (len(first), len(second))
        assert ((values >= 0) & (values <= 1)).all()
    assert (iou(first[:, None], second) <= iobb(first[:, None], second) + 1e-12).all()


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(boxes, boxes)
def test_iou_is_symmetric(first, second):
    assert iou(first[:, None], second) == pytest.approx(iou(second[:, None], first).T, abs=1e-12)


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(boxes, boxes)
def test_iou_is_that_of_torchvision(first, second):
    corners = [torch.tensor(np.hstack([b[:, :2], b[:, :2] + b[:, 2:]])) for b in (first, second)]
    assert iou(first[:, None], second) == pytest.approx(box_iou(*corners).numpy(), abs=1e-12)


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(boxes)
def test_a_box_agrees_wholly_with_itself(some):
    assert iou(some, some) == pytest.approx(1)


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(st.tuples(*[st.floats(0, 1)] * 4), boxes)
def test_iobb_is_one_for_a_detected_box_inside_the_ground_truth_box(shares, ground_truth):
    x, y, width, height = ground_truth[:1].T
    left, top, right, bottom = shares
    inner = np.stack(
        [
            x + left * width / 2,
            y + top * height / 2,
            width / 2 * (0.1 + 0.9 * right),
            height / 2 * (0.1 + 0.9 * bottom),
        ],
        axis=1,
    )
    assert iobb(inner, ground_truth[:1]) == pytest.approx(1, abs=1e-9)
