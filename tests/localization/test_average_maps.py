"""The ensemble's saliency is the mean of the members' maps."""

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.evaluate import average_maps, mean_grids
from cxr14.localization.sanity_check import sanity_check_table
from cxr14.localization.scores import Maps, PixelMaps, gather


def test_maps_of_one_size_are_averaged_cell_by_cell() -> None:
    one = np.zeros((1, 2, 2), np.float16)
    one[0, 0, 0] = 1
    other = np.full((1, 2, 2), 0.5, np.float16)
    mean = mean_grids([one, other])
    assert mean.dtype == np.float16
    np.testing.assert_array_equal(mean, [[[0.75, 0.25], [0.25, 0.25]]])


def test_a_coarser_grid_is_brought_to_the_finest_without_moving_its_heat() -> None:
    coarse = np.zeros((1, 2, 2), np.float16)
    coarse[0, 0, 0] = 1
    fine = np.zeros((1, 4, 4), np.float16)
    mean = mean_grids([coarse, fine])
    assert mean.shape == (1, 4, 4)
    assert np.unravel_index(mean[0].argmax(), (4, 4)) == (0, 0)
    assert mean.max() == 0.5
    np.testing.assert_array_equal(mean[0], mean[0].T)


def test_no_boxed_pair_makes_no_map() -> None:
    assert mean_grids([np.zeros((0, 1, 1), np.float16)] * 2).shape == (0, 1, 1)


def test_similarities_of_opposite_sign_do_not_cancel_out_over_the_networks(no_pixels) -> None:
    """They were averaged pair by pair, flat maps skipped, before their size was taken.

    Two networks whose maps stay as they are, one of them inside out, came to 0 and went unflagged.
    """
    names = [f"{place}.png" for place in range(3)]
    pairs = pd.DataFrame({"image": names, "finding": "Mass", "patient": range(3)})
    boxed = gather(pairs, pairs, 32, "per_map", ("Mass",), np.random.default_rng(0), 50)
    grids = {"gradcam": np.zeros((3, 1, 1), np.float16)}
    scale = pd.DataFrame({"scaling": ["per_map"]})
    members = [
        Maps(boxed, grids, scale, pd.DataFrame({"network": rho}, index=[0, 1, 2]), no_pixels)
        for rho in ([0.9, 0.8, np.nan], [-0.9, -0.8, 0.1])
    ]
    row = sanity_check_table(boxed, average_maps(members).similarity).iloc[0]
    assert (row["n_pairs"], row["n_constant"], row["images"]) == (5, 1, 3)
    assert row["similarity"] == pytest.approx(0.02)
    assert row["absolute"] == pytest.approx(0.7)
    assert row["unchanged"] == 1


def test_the_maps_of_masks_are_averaged_too(boxed, masked) -> None:
    def member(heat: float) -> Maps:
        grids = {"gradcam": np.full((len(boxed.pairs), 2, 2), heat, np.float16)}
        pixels = PixelMaps(masked, {**grids, "random": grids["gradcam"]})
        return Maps(boxed, grids, pd.DataFrame({"scaling": ["per_map"]}), pd.DataFrame(), pixels)

    averaged = average_maps([member(0.25), member(0.75)])
    assert (averaged.pixels.grids["gradcam"] == 0.5).all()
    assert (averaged.pixels.grids["random"] == 0.25).all()  # a control, of the first
