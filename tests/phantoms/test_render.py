"""Rendering a phantom: exposure, size, reproducibility."""

import numpy as np
import numpy.typing as npt
import pytest

from cxr14.labels import FINDINGS
from tests.phantoms.conftest import RenderPhantom, row


def correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one[::4, ::4].ravel(), other[::4, ::4].ravel())[0, 1])


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_a_phantom_is_a_grey_picture_that_uses_most_of_the_range(
    phantom_of: RenderPhantom, size: int
):
    picture = phantom_of(row(), size=size).pixels
    assert picture.shape == (size, size)
    assert picture.dtype == np.uint8
    low, high = np.percentile(picture, (1, 99))
    assert low < 60
    assert high > 180


def test_pictures_of_all_sizes_show_the_same(phantom_of: RenderPhantom):
    large = phantom_of(row(2, 0, "Mass"), size=1024).pixels.astype(float)
    halved = large.reshape(512, 2, 512, 2).mean(axis=(1, 3))
    small = phantom_of(row(2, 0, "Mass"), size=512).pixels
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.995


def test_the_lungs_are_darker_than_spine_and_abdomen(phantom_of: RenderPhantom):
    picture = np.mean([phantom_of(row(patient)).pixels for patient in range(4)], axis=0)
    spine = picture[150:300, 245:265].mean()
    for lung in (picture[175:250, 125:165], picture[175:225, 360:390]):
        assert lung.mean() < spine - 40
        assert lung.mean() < picture[450:500, 150:350].mean() - 40


def test_equal_arguments_give_equal_phantoms_in_any_order(phantom_of: RenderPhantom):
    wanted = [phantom_of(row(patient, 0, "Mass")) for patient in (1, 2)]
    again = [phantom_of(row(patient, 0, "Mass")) for patient in (2, 1)][::-1]
    for one, other in zip(wanted, again, strict=True):
        assert (one.pixels == other.pixels).all()
        assert one.boxes == other.boxes
        assert (one.masks["Mass"] == other.masks["Mass"]).all()
    assert (phantom_of(row(1, 0, "Mass"), seed=15).pixels != wanted[0].pixels).any()


def test_a_phantom_says_where_its_devices_are(phantom_of: RenderPhantom):
    record = row(1, 0, "Pneumothorax")
    drained = phantom_of(record, shortcut=1.0)
    assert phantom_of(record).device_masks.keys() == drained.device_masks.keys() - {"drain"}
    change = np.abs(drained.pixels.astype(float) - phantom_of(record).pixels)
    at_mask = change.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    inside = drained.device_masks["drain"]
    assert at_mask[inside].mean() > 10 * at_mask[~inside].mean()


@pytest.mark.parametrize("finding", FINDINGS)
def test_contrast_nought_hides_a_finding_and_more_shows_it(phantom_of: RenderPhantom, finding: str):
    plain = phantom_of(row(3)).pixels
    assert (phantom_of(row(3, 0, finding), contrast=0.0).pixels == plain).all()
    faint, full = (
        np.abs(
            phantom_of(row(3, 0, finding), contrast=contrast).pixels.astype(float) - plain
        ).mean()
        for contrast in (0.5, 1.0)
    )
    assert 0 < faint < full


def test_follow_ups_are_more_alike_than_patients(phantom_of: RenderPhantom):
    first, second = (
        [phantom_of(row(patient, visit)).pixels for patient in range(6)] for visit in (0, 1)
    )
    same = [correlation(a, b) for a, b in zip(first, second, strict=True)]
    others = [correlation(first[i], second[j]) for i in range(6) for j in range(6) if i != j]
    assert np.mean(same) > np.mean(others) + 0.01


def test_women_have_breast_shadows_and_the_old_have_thinner_bones(phantom_of: RenderPhantom):
    man, woman = (phantom_of(row(8, sex=sex)).pixels.astype(int) for sex in "MF")
    old = phantom_of(row(8, age=90)).pixels.astype(int)
    assert (man != woman).any()
    assert old[150:300, 240:270].mean() < man[150:300, 240:270].mean()
