"""Drawing a phantom: exposure, size, the same picture again."""

import numpy as np
import numpy.typing as npt
import pytest

from cxr14.labels import FINDINGS
from tests.phantoms.conftest import Draw, row


def correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one[::4, ::4].ravel(), other[::4, ::4].ravel())[0, 1])


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_a_phantom_is_a_grey_picture_that_uses_most_of_the_range(drawn: Draw, size: int):
    picture = drawn(row(), size=size).picture
    assert picture.shape == (size, size)
    assert picture.dtype == np.uint8
    low, high = np.percentile(picture, (1, 99))
    assert low < 60
    assert high > 180


def test_pictures_of_all_sizes_show_the_same(drawn: Draw):
    large = drawn(row(2, 0, "Mass"), size=1024).picture.astype(float)
    halved = large.reshape(512, 2, 512, 2).mean(axis=(1, 3))
    small = drawn(row(2, 0, "Mass"), size=512).picture
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.995


def test_the_lungs_are_darker_than_spine_and_abdomen(drawn: Draw):
    picture = np.mean([drawn(row(patient)).picture for patient in range(4)], axis=0)
    spine = picture[150:300, 245:265].mean()
    for lung in (picture[175:250, 125:165], picture[175:225, 360:390]):
        assert lung.mean() < spine - 40
        assert lung.mean() < picture[450:500, 150:350].mean() - 40


def test_equal_arguments_give_equal_phantoms_in_any_order(drawn: Draw):
    wanted = [drawn(row(patient, 0, "Mass")) for patient in (1, 2)]
    again = [drawn(row(patient, 0, "Mass")) for patient in (2, 1)][::-1]
    for one, other in zip(wanted, again, strict=True):
        assert (one.picture == other.picture).all()
        assert one.boxes == other.boxes
        assert (one.masks["Mass"] == other.masks["Mass"]).all()
    assert (drawn(row(1, 0, "Mass"), seed=15).picture != wanted[0].picture).any()


def test_a_phantom_says_where_its_devices_are(drawn: Draw):
    record = row(1, 0, "Pneumothorax")
    drained = drawn(record, shortcut=1.0)
    assert drawn(record).devices.keys() == drained.devices.keys() - {"drain"}
    change = np.abs(drained.picture.astype(float) - drawn(record).picture)
    at_mask = change.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    inside = drained.devices["drain"]
    assert at_mask[inside].mean() > 10 * at_mask[~inside].mean()


@pytest.mark.parametrize("finding", FINDINGS)
def test_contrast_nought_hides_a_finding_and_more_shows_it(drawn: Draw, finding: str):
    plain = drawn(row(3)).picture
    assert (drawn(row(3, 0, finding), contrast=0.0).picture == plain).all()
    faint, full = (
        np.abs(drawn(row(3, 0, finding), contrast=contrast).picture.astype(float) - plain).mean()
        for contrast in (0.5, 1.0)
    )
    assert 0 < faint < full


def test_follow_ups_are_more_alike_than_patients(drawn: Draw):
    first, second = (
        [drawn(row(patient, visit)).picture for patient in range(6)] for visit in (0, 1)
    )
    same = [correlation(a, b) for a, b in zip(first, second, strict=True)]
    others = [correlation(first[i], second[j]) for i in range(6) for j in range(6) if i != j]
    assert np.mean(same) > np.mean(others) + 0.01


def test_women_have_breast_shadows_and_the_old_have_thinner_bones(drawn: Draw):
    man, woman = (drawn(row(8, sex=sex)).picture.astype(int) for sex in "MF")
    old = drawn(row(8, age=90)).picture.astype(int)
    assert (man != woman).any()
    assert old[150:300, 240:270].mean() < man[150:300, 240:270].mean()
