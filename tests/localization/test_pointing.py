"""Pointing game and energy, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cxr14.localization.heatmaps import heat_of
from cxr14.localization.tables import energy, pointing, pointing_and_energy

HEAT = np.array([[0, 50, 0], [0, 100, 100], [0, 0, 0]], np.float32)


def inside(*cells):
    mask = np.zeros((3, 3))
    for cell, share in cells:
        mask[cell] = share
    return mask


def test_the_hottest_pixel_scores_by_whether_it_is_inside():
    heat = HEAT.copy()
    heat[1, 1] = 101
    assert pointing(heat, inside(((1, 1), 1.0))) == 1
    assert pointing(heat, inside(((1, 2), 1.0), ((0, 1), 1.0))) == 0


def test_equally_hot_pixels_score_their_share_inside():
    assert pointing(HEAT, inside(((1, 1), 1.0))) == 0.5
    assert pointing(HEAT, inside(((1, 1), 1.0), ((1, 2), 0.5))) == 0.75


def test_energy_is_the_share_of_heat_inside():
    assert energy(HEAT, inside(((0, 1), 1.0))) == 0.2
    assert energy(HEAT, inside(((1, 1), 0.5), ((0, 0), 1.0))) == 0.2
    assert energy(HEAT, np.ones((3, 3))) == 1


def test_a_map_without_heat_scores_nothing_even_if_the_box_is_the_whole_image():
    nothing = np.zeros((3, 3), np.float32)
    assert pointing(nothing, np.ones((3, 3))) == energy(nothing, np.ones((3, 3))) == 0


def test_the_border_cells_of_a_grid_are_patches_of_equal_pixels():
    grid = np.zeros((4, 4), np.float16)
    grid[0, 0] = 1
    heat = heat_of(grid, 32)
    assert (heat == heat.max()).sum() == 16  # 4 × 4 px: half a cell has no neighbour to fade to
    left = np.zeros((32, 32))
    left[:, :2] = 1
    assert pointing(heat, left) == 0.5


def test_a_peak_above_the_top_of_a_fixed_scale_stays_the_hottest_pixel(boxed):
    """Heat was cut at the top, so a field a little above it was as hot as a peak of three tops."""
    own = replace(
        boxed, ground_truth=boxed.ground_truth.assign(x=12.0, y=12.0, width=4.0, height=4.0)
    )
    grids = np.full((len(boxed.pairs), 8, 8), 1.1, np.float16)
    grids[:, 3, 3] = 3
    grids[:, 0, 0] = 0
    for scaling in ("per_map", "fixed"):
        pointed, energies = pointing_and_energy(replace(own, scaling=scaling), grids).T
        assert (pointed == 1).all()
        assert (energies > 0.03).all()  # cut at the top it was a 64th


def test_each_pair_is_scored_by_its_own_map_and_boxes(boxed):
    grids = np.zeros((len(boxed.pairs), 32, 32), np.float16)
    for grid, box in zip(grids, boxed.ground_truth.itertuples(), strict=True):
        grid[int(box.y), int(box.x)] = 1  # the left upper corner of its own box
    scores = pointing_and_energy(boxed, grids)
    assert scores == pytest.approx(1)
    assert (pointing_and_energy(boxed, np.zeros_like(grids)) == 0).all()
    assert scores.shape == (len(boxed.pairs), 2)
