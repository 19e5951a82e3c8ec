"""Pointing game and energy, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cxr14.localization.heatmaps import heat_of
from cxr14.localization.pointing import (
    energy,
    pixel_iou,
    pixel_table,
    pointing,
    pointing_table,
    score_maps,
)
from cxr14.localization.scores import NO_MASKS, NOT_TRAINED, PixelMaps

HEAT = np.array([[0, 50, 0], [0, 100, 100], [0, 0, 0]], np.float32)


def inside(*cells):
    mask = np.zeros((3, 3))
    for cell, share in cells:
        mask[cell] = share
    return mask


def pointing_and_energy(boxed, grids):
    return score_maps(boxed, {"cam": grids})["cam"]


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
    (heat,) = heat_of(grid[None], 32)
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


def test_the_iou_of_hot_pixels_with_a_mask_by_hand():
    mask = np.zeros((3, 3), bool)
    mask[1, 1:] = True
    mask[2, 0] = True
    assert pixel_iou(HEAT > 60, mask) == 2 / 3  # two of three, none beside
    assert pixel_iou(HEAT > 40, mask) == 2 / 4
    assert pixel_iou(HEAT > 200, mask) == 0


def test_a_mask_as_heat_scores_one_in_every_pixel_measure_and_beats_random_maps(masked):
    exact = np.array([masked.inside(index) for index in range(len(masked.pairs))], np.float16)
    noise = np.random.default_rng(1).random(exact.shape).astype(np.float16)
    table = pixel_table(PixelMaps(masked, {"cam": exact, "random": noise}), [60, 180])
    own = table[(table["method"] == "cam") & (table["finding"] == "mean")]
    assert own["measure"].tolist() == ["pointing", "energy", "iou", "iou"]
    assert own["heat_threshold"].fillna(0).tolist() == [0, 0, 60, 180]
    assert own["value"].to_numpy() == pytest.approx(1)
    assert own["difference"].isna().all()
    random = table[(table["method"] == "random") & (table["finding"] == "Mass")]
    assert (random["value"] < 0.5).all()
    assert random["difference"].to_numpy() == pytest.approx(1 - random["value"].to_numpy())
    assert random["difference_low"].isna().all()  # the network's side never varies
    assert random["reason"].str.contains("one side is the same in every resample").all()


def test_without_masks_every_row_of_the_pixel_table_says_so(no_pixels):
    table = pixel_table(no_pixels, [60])
    assert len(table) == 3 * (14 + 1)
    assert table["value"].isna().all()
    assert set(table["reason"]) == {NO_MASKS, NOT_TRAINED}


def test_a_control_has_the_difference_of_the_network_in_pointing_on_the_same_resamples(boxed):
    exact = np.array([boxed.inside(index) for index in range(len(boxed.pairs))], np.float16)
    noise = np.random.default_rng(2).random(exact.shape).astype(np.float16)
    dim = np.where(boxed.pairs["row"].to_numpy()[:, None, None] % 3, exact, noise)
    table = pointing_table(boxed, {"cam": dim, "random": noise})
    own, random = (
        table[(table["method"] == method) & (table["finding"] == "Mass")].iloc[0]
        for method in ("cam", "random")
    )
    assert np.isnan(own["pointing_difference"])
    for name in ("pointing", "energy"):
        assert random[f"{name}_difference"] == pytest.approx(own[name] - random[name])
    ends = random["energy_difference_low"], random["energy_difference_high"]
    assert ends[0] < random["energy_difference"] < ends[1]
    assert random["pointing"] == 0  # in every resample, so there is no interval
    assert np.isnan(random["pointing_difference_low"])
