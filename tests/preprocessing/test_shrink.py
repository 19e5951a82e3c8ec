"""One image: pixel formats, padding, and where a box comes to lie."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr14.preprocessing.decode import shrink
from tests.datasets.pictures import encode, noise

GREY = noise(1, 40, 40)


ODD = {"RGBA": ("transparent",), "LA": ("transparent",)}


def with_alpha(mode: str) -> Image.Image:
    """The grey picture with an alpha channel that would darken it, were it used."""
    picture = GREY.convert(mode)
    picture.putalpha(Image.linear_gradient("L").resize(GREY.size))
    return picture


def deep(mode: str) -> Image.Image:
    """The grey picture in the upper eight of 16 bits, noise in the lower ones."""
    low = np.random.default_rng(2).integers(0, 256, (40, 40))
    return Image.fromarray((np.asarray(GREY).astype(np.uint16) << 8) + low.astype(np.uint16))


SAME = {
    "RGBA": with_alpha("RGBA"),
    "LA": with_alpha("LA"),
    "P": GREY.convert("P"),
    "RGB": GREY.convert("RGB"),
    "I;16": deep("I;16"),
}


@pytest.mark.parametrize("mode", SAME)
def test_every_pixel_format_gives_the_pixels_of_the_grey_picture(mode):
    shrunk = shrink(encode(SAME[mode]), 20, "a.png")
    assert (shrunk.mode, shrunk.remarks) == (mode, ODD.get(mode, ()))
    assert shrunk.pixels.dtype == np.uint8
    assert (shrunk.pixels == shrink(encode(GREY), 20, "a.png").pixels).all()


def test_a_picture_of_the_right_size_stays_as_it_is():
    shrunk = shrink(encode(GREY), 40, "a.png")
    assert (shrunk.pixels == np.asarray(GREY)).all()
    assert (shrunk.scale, shrunk.offset_x, shrunk.offset_y) == (1, 0, 0)


def test_a_jpeg_is_read_too():
    buffer = io.BytesIO()
    GREY.resize((64, 32)).save(buffer, "JPEG")
    shrunk = shrink(buffer.getvalue(), 16, "a.jpg")
    assert (shrunk.source_width, shrunk.source_height) == (64, 32)


def as_jpeg(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "remarks"),
    [
        (encode(GREY), "a.png", ()),
        (encode(GREY), "A.PNG", ()),
        (as_jpeg(GREY), "a.jpg", ("jpeg",)),
        (as_jpeg(GREY), "images/a.png", ("jpeg", "wrong_extension")),
        (encode(GREY), "a.jpeg", ("wrong_extension",)),
        (encode(GREY.crop((0, 0, 40, 32))), "a.png", ("padded",)),
        (encode(Image.new("L", (40, 32), 9)), "a.png", ("padded", "faint")),
    ],
)
def test_a_file_is_known_by_its_content_and_what_is_odd_about_it_is_said(content, name, remarks):
    assert shrink(content, 40, name).remarks == remarks


def test_a_16_bit_picture_that_uses_its_lower_bits_only_is_said_to_be_faint():
    dim = Image.fromarray(np.asarray(GREY).astype(np.uint16) << 4)
    shrunk = shrink(encode(dim), 40, "a.png")
    assert (shrunk.mode, shrunk.remarks) == ("I;16", ("unused_bits", "faint"))


def chart():
    """Rings that get finer outwards, steps and a grid: every frequency, the same on any machine."""
    y, x = np.mgrid[:1024, :1024].astype(np.int64)
    rings = (x * x + y * y) // 512 % 256
    return np.where(x > y, rings, (x // 37 * 40 + y // 53 * 60) % 256).astype(np.uint8)


def test_the_kernel_stays_so_that_caches_stay_comparable():
    """A changed hash means another kernel: every cache, and every figure from one, changes."""
    picture = chart()
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == "3c4bfb34cc4ae8df"
    shrunk = shrink(encode(Image.fromarray(picture)), 224, "a.png").pixels
    assert hashlib.sha256(shrunk.tobytes()).hexdigest()[:16] == "03598fe606d657dc"


def test_a_white_rectangle_lies_in_the_cache_where_the_mapping_says():
    source = np.zeros((100, 60), np.uint8)
    source[30:70, 10:50] = 255
    shrunk = shrink(encode(Image.fromarray(source)), 50, "a.png")
    assert (shrunk.scale, shrunk.offset_x, shrunk.offset_y) == (0.5, 10, 0)
    left, right = (int(x * shrunk.scale + shrunk.offset_x) for x in (10, 50))
    top, bottom = (int(y * shrunk.scale + shrunk.offset_y) for y in (30, 70))
    expected = np.zeros((50, 50), bool)
    expected[top:bottom, left:right] = True
    assert ((shrunk.pixels > 127) == expected).all()


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(40, 140),
    height=st.integers(40, 140),
    size=st.integers(24, 64),
    place=st.tuples(*[st.floats(0.2, 0.8)] * 4),
)
def test_the_middle_and_the_area_of_any_rectangle_map_exactly(width, height, size, place):
    left, right = sorted(round(share * width) for share in place[:2])
    top, bottom = sorted(round(share * height) for share in place[2:])
    right, bottom = right + 4, bottom + 4
    source = np.zeros((height, width), np.uint8)
    source[top:bottom, left:right] = 255
    shrunk = shrink(encode(Image.fromarray(source)), size, "a.png")
    light = shrunk.pixels / 255.0
    middle = np.arange(size) + 0.5
    x, y = (light.sum(0) @ middle, light.sum(1) @ middle) / light.sum()
    assert x == pytest.approx((left + right) / 2 * shrunk.scale + shrunk.offset_x, abs=0.1)
    assert y == pytest.approx((top + bottom) / 2 * shrunk.scale + shrunk.offset_y, abs=0.1)
    area = (right - left) * (bottom - top) * shrunk.scale**2
    assert light.sum() == pytest.approx(area, rel=0.05, abs=0.1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_picture_that_breaks_off_is_refused_wherever_it_does(mode):
    content = encode(GREY.convert(mode))
    for end in [
        *range(120),
        *range(120, len(content) - 30, 37),
        *range(len(content) - 30, len(content)),
    ]:
        with pytest.raises(ValueError, match=r"^a\.png: not a readable image \("):
            shrink(content[:end], 40, "a.png")


def test_a_page_that_was_downloaded_instead_is_refused_by_name():
    with pytest.raises(ValueError, match=r"images_001\.tar/a\.png: not a readable image"):
        shrink(b"<html>Sign in</html>", 16, "images_001.tar/a.png")


@pytest.fixture(scope="module")
def inventory(nih):
    return pd.read_csv(nih / "inventory.csv")


def test_real_rgba_files_are_grey_under_a_full_alpha_channel(nih, inventory):
    rgba = inventory[inventory["mode"] == "RGBA"].name
    assert len(rgba) == 5
    for name in rgba[:3]:
        path = nih / "images" / name
        with Image.open(path) as file:
            red, green, blue, alpha = np.moveaxis(np.asarray(file), 2, 0)
        assert (red == green).all()
        assert (red == blue).all()
        assert (alpha == 255).all()
        shrunk = shrink(path.read_bytes(), 1024, name)
        assert (shrunk.mode, shrunk.source_width, shrunk.source_height) == ("RGBA", 1024, 1024)
        assert (shrunk.pixels == red).all()


def test_real_grey_files_keep_their_mean_when_shrunk(nih, inventory):
    for name in inventory[inventory["mode"] == "L"].name[:4]:
        path = nih / "images" / name
        shrunk = shrink(path.read_bytes(), 224, name)
        with Image.open(path) as file:
            assert shrunk.pixels.mean() == pytest.approx(np.asarray(file).mean(), abs=0.6)
        assert (shrunk.mode, shrunk.pixels.shape) == ("L", (224, 224))
        assert shrunk.scale == 224 / 1024
