"""Which pictures are named as inverted or empty; on real ones, how often wrongly."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from cxr14.preprocessing.decode import shrink
from cxr14.preprocessing.photometry import FAINT, remarks_on


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


def named(pictures) -> int:
    return sum("inverted" in remarks_on(np.ascontiguousarray(one)) for one in pictures)


def test_no_real_image_is_named_and_98_percent_of_their_negatives_are(real):
    assert len(real) == 315
    assert named(real) == 0
    assert named(255 - real) == 309


def test_hardly_a_rotated_cropped_or_bordered_film_is_named(real):
    """The rule of the lungs alone named 219 of those rotated by 90°, 185 of those with a white
    border at both sides."""
    assert named(np.rot90(real, 1, (1, 2))) <= 1
    assert named(np.rot90(real, 3, (1, 2))) <= 1
    assert named(np.rot90(real, 2, (1, 2))) == 0
    assert named(real[:, :, :112]) + named(real[:, :, 112:]) <= 8
    for level in (0, 255):
        bordered = np.full_like(real, level)
        bordered[:, 20:200, 67:157] = real[:, 20:200, 67:157]
        assert named(bordered) == 0
    assert named(np.uint8(255 * (real / 255) ** 2.5)) == 0
    assert named(np.uint8(0.25 * real)) == 0


@pytest.mark.parametrize("level", [0, 255])
def test_negatives_in_a_frame_are_named(real, level):
    framed = np.pad(255 - real, ((0, 0), (56, 56), (56, 56)), constant_values=level)
    assert named(framed) > 0.9 * len(real)


def test_the_size_at_which_images_are_cached_hardly_matters(nih):
    for path in sorted((nih / "images").glob("*.png"))[:6]:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as file:
            buffer = io.BytesIO()
            ImageOps.invert(file.convert("L")).save(buffer, "PNG", compress_level=1)
        for size in (64, 224, 1000):
            assert shrink(content, size, "a.png").remarks == ()
            assert shrink(buffer.getvalue(), size, "a.png").remarks == ("inverted",)


def test_empty_images_keep_their_distance_from_real_ones(real):
    assert min(picture.std() for picture in real) > 27 > FAINT
