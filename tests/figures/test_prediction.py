"""Overlays of a finding on a radiograph."""

import numpy as np

from cxr14.figures.prediction import SIDE, draw_overlay


def test_a_region_of_one_pixel_of_a_large_cache_is_drawn() -> None:
    image, heat = np.zeros((1024, 1024), np.uint8), np.zeros((SIDE, SIDE), np.float32)
    box = np.array([[512.0, 512.0, 1.0, 1.0]])
    without = draw_overlay(image, heat, {180: box[:0]}, ["Mass"])
    assert np.any(np.asarray(draw_overlay(image, heat, {180: box}, ["Mass"])) != without)
