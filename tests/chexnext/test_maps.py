"""The ensemble's saliency is the mean of the members' maps."""

import numpy as np

from cxr14.chexnext.maps import mean_grids


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
