"""Which pictures are named as inverted or empty; on real ones, how often wrongly."""

import numpy as np
import pytest

from cxr14.data.preprocessing.photometry import FAINT, INVERTED, _lungs_over_middle, remarks_on
from cxr14.data.preprocessing.shrink import shrink


def chest(lungs: int, middle: int) -> np.ndarray:
    """Two fields on either side of a strip."""
    picture = np.full((224, 224), middle, np.uint8)
    picture[40:160, 30:95] = lungs
    picture[40:160, 129:194] = lungs
    return picture


def test_dark_lungs_beside_a_bright_middle_are_no_remark():
    assert remarks_on(chest(60, 180)) == []


def test_bright_lungs_beside_a_dark_middle_are_inverted():
    assert remarks_on(chest(180, 60)) == ["inverted"]
    assert remarks_on(chest(180, 60)[:, 20:-20]) == ["inverted"]


def test_a_picture_without_contrast_is_faint():
    assert remarks_on(np.full((224, 224), 7, np.uint8)) == ["faint"]


@pytest.mark.parametrize("shape", [(1, 224), (224, 15), (15, 15)])
def test_a_strip_is_no_remark(shape):
    assert remarks_on(np.zeros(shape, np.uint8)) == []


@pytest.fixture(scope="module")
def real(nih):
    """All real images, uint8 (N, 224, 224)."""
    paths = sorted((nih / "images").glob("*.png"))
    return np.stack([shrink(path.read_bytes(), 224, path.name).pixels for path in paths])


def test_no_real_image_is_named_and_98_percent_of_their_negatives_are(real):
    assert len(real) == 315
    assert not any(remarks_on(picture) for picture in real)
    found = np.mean([remarks_on(255 - picture) == ["inverted"] for picture in real])
    assert found == pytest.approx(0.981, abs=0.002)


def test_the_limits_keep_their_distance_from_real_images(real):
    assert max(map(_lungs_over_middle, real)) < 1 < INVERTED
    assert min(picture.std() for picture in real) > 27 > FAINT


def test_a_border_brighter_than_the_centre_would_name_many_real_images(real):
    frame = np.ones((224, 224), bool)
    frame[14:-14, 14:-14] = False
    centre = real[:, 56:-56, 56:-56].mean((1, 2))
    named = real[:, frame].mean(1) - centre > INVERTED
    assert named.mean() == pytest.approx(0.12, abs=0.01)
