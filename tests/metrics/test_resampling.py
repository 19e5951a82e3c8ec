"""Resamples of patients, and sums under them."""

import numpy as np
import pytest

from cxr14.metrics.bootstrap import (
    draw_replicates,
    patient_weights,
    patients_by_class,
    weighted_sums,
)

PATIENTS = np.array([7, 3, 7, 5, 3, 3])


def test_the_draws_are_those_of_patient_weights_in_blocks_of_100():
    replicates = draw_replicates(PATIENTS, np.random.default_rng(2), 230)
    generator = np.random.default_rng(2)
    blocks = [patient_weights(PATIENTS, count, generator) for count in (100, 100, 30)]
    by_image = replicates.counts[replicates.owner].T
    np.testing.assert_array_equal(by_image[1:], np.concatenate(blocks))
    assert not (blocks[0] == blocks[1]).all()


def test_without_replicates_there_are_the_images_alone():
    assert draw_replicates(PATIENTS, np.random.default_rng(0), 0).counts.tolist() == [[1]] * 3


def test_the_first_weighting_counts_everyone_once():
    drawn = draw_replicates(PATIENTS, np.random.default_rng(0), 3)
    assert drawn.counts.shape == (3, 4)
    assert (drawn.counts[:, 0] == 1).all()


def test_of_a_single_patient_nothing_is_drawn():
    assert draw_replicates(np.array([4, 4]), np.random.default_rng(0), 50).counts.shape == (1, 1)


def test_sums_are_those_of_a_loop_also_over_some_images():
    drawn = draw_replicates(PATIENTS, np.random.default_rng(1), 20)
    values = np.random.default_rng(4).random((6, 2))
    members = np.array([True, True, False, True, False, True])
    sums = weighted_sums(values[members], drawn.owner[members], drawn.counts)
    for row, counts in zip(sums, drawn.counts.T, strict=True):
        weights = counts[drawn.owner] * members
        assert row == pytest.approx((values * weights[:, None]).sum(axis=0))


def test_patients_are_counted_once_for_each_class_that_an_image_of_theirs_has():
    owner = np.array([2, 0, 2, 1, 0, 0])
    present = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [1, 1], [0, 0]]) > 0
    assert patients_by_class(present, owner).tolist() == [2, 1]
    assert patients_by_class(~present, owner).tolist() == [2, 3]
