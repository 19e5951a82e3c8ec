"""Boxes around hot regions, and their way back to the shipped image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cxr14.localization.overlap import hot_regions, scaled_to_255, to_cache, to_source

GRIDS = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)


def hot_boxes(heat, threshold):
    """Boxes and scores of a single map."""
    _, boxes, scores = hot_regions(heat[None], threshold)
    return boxes, scores


def test_every_isolated_region_gets_a_tight_box_and_its_highest_heat():
    heat = np.zeros((6, 8), np.float32)
    heat[1:3, 2:5] = 100
    heat[2, 3] = 200
    heat[5, 7] = 255
    boxes, scores = hot_boxes(heat, 60)
    assert boxes.tolist() == [[2, 1, 3, 2], [7, 5, 1, 1]]
    assert scores.tolist() == [200, 255]
    boxes, _ = hot_boxes(heat, 180)
    assert boxes.tolist() == [[3, 2, 1, 1], [7, 5, 1, 1]]


def test_pixels_that_touch_at_a_corner_are_one_region():
    boxes, scores = hot_boxes(np.diag([255.0, 100.0]).astype(np.float32), 60)
    assert boxes.tolist() == [[0, 0, 2, 2]]
    assert scores.tolist() == [255]


def test_heat_equal_to_the_threshold_is_not_hot():
    boxes, scores = hot_boxes(np.full((3, 3), 60, np.float32), 60)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_each_map_is_scaled_by_its_own_range():
    maps = np.array([[[-1.0, 1.0]], [[10.0, 30.0]]], np.float32)
    assert scaled_to_255(maps).tolist() == [[[0, 255]], [[0, 255]]]


def test_a_constant_map_gives_no_boxes():
    heat = scaled_to_255(np.full((4, 4), 3.0, np.float32))
    assert len(hot_boxes(heat, 0)[0]) == 0


def test_a_box_of_a_wide_image_comes_back_through_scale_and_offset():
    # 2000 × 1000 px in a cache of 100: scale .05, 25 px of padding above and below.
    cached = np.array([[10.0, 30.0, 20.0, 10.0]])
    assert to_source(cached, 0.05, 0.0, 25.0).tolist() == [[200, 100, 400, 200]]


@settings(max_examples=60, deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.tuples(*[st.floats(0, 3000)] * 4), max_size=4),
    st.floats(0.01, 2),
    st.floats(-100, 100),
    st.floats(-100, 100),
)
def test_to_source_undoes_to_cache(boxes, scale, offset_x, offset_y):
    given_boxes = np.array(boxes, float).reshape(-1, 4)
    there = to_cache(given_boxes, scale, offset_x, offset_y)
    assert to_source(there, scale, offset_x, offset_y) == pytest.approx(given_boxes, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays("float32", GRIDS, elements=st.floats(-1e6, 1e6, width=32)))
def test_scaled_heat_fills_its_range(heat):
    scaled = scaled_to_255(heat)
    assert scaled.min() == 0
    assert scaled.max() == (255 if heat.max() > heat.min() else 0)


@given(GRIDS, st.floats(-1e6, 1e6, width=32), st.integers(0, 254))
def test_a_constant_map_gives_no_box_at_any_threshold(shape, value, threshold):
    heat = scaled_to_255(np.full(shape, value, np.float32))
    assert len(hot_boxes(heat, threshold)[0]) == 0


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays("int64", GRIDS, elements=st.integers(-1000, 1000)),
    st.integers(1, 1000),
    st.integers(-1000, 1000),
    st.integers(0, 254),
)
def test_boxes_of_a_map_scaled_by_itself_survive_a_positive_factor_and_a_shift(
    heat, factor, shift, threshold
):
    # Whole numbers below 2²⁴ are exact in float32, so the boxes are the same to the last bit.
    first, second = (
        hot_boxes(scaled_to_255(values.astype(np.float32)), threshold)
        for values in (heat, factor * heat + shift)
    )
    assert first[0].tolist() == second[0].tolist()
    assert first[1].tolist() == second[1].tolist()


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays("float32", st.tuples(st.integers(0, 3), *[st.integers(1, 9)] * 2),
               elements=st.sampled_from([0.0, 50.0, 100.0, 200.0])),
    st.sampled_from([0, 60, 180, 254]),
)  # fmt: skip
def test_regions_of_many_maps_are_those_that_scipy_labels_one_by_one(maps, threshold):
    found = hot_regions(maps, threshold)
    expected = []
    for index, heat in enumerate(maps):
        labels, count = ndimage.label(heat > threshold, structure=np.ones((3, 3)))
        for number, (down, across) in enumerate(ndimage.find_objects(labels, count), 1):
            box = (across.start, down.start, across.stop - across.start, down.stop - down.start)
            expected.append((index, *box, heat[labels == number].max()))
    rows = np.column_stack([found.map_index, found.boxes, found.scores]).tolist()
    assert rows == [[float(value) for value in row] for row in expected]
