"""From bytes to grey pixels: two decoders, one picture; and what is refused."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr14.preprocessing.complete import MAX_PIXELS
from cxr14.preprocessing.decode import _decode_grey, decode
from tests.datasets.pictures import encode, noise
from tests.preprocessing.chunks import header, interlaced, join_chunks


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as file:
        return np.asarray(file.convert("L"))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_every_grey_png_gives_the_pixels_that_pillow_gives(height, width, level, passes):
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
    content = interlaced(pixels) if passes else buffer.getvalue()
    decoded = decode(content, "a.png")
    assert (decoded.pixels == pixels).all()
    assert (by_pillow(content) == pixels).all()
    assert (decoded.mode, decoded.format) == ("L", "PNG")
    assert decoded.remarks == ({"interlaced"} if passes else set())
    assert _decode_grey(content, width, height) is not None  # the fast way was taken


def test_all_real_files_give_the_pixels_that_pillow_gives(nih):
    inventory = pd.read_csv(nih / "inventory.csv")
    for name, mode in zip(inventory.name, inventory["mode"], strict=True):
        content = (nih / "images" / name).read_bytes()
        decoded = decode(content, name)
        assert (decoded.mode, decoded.remarks) == (mode, set())
        assert (decoded.pixels == by_pillow(content)).all()


def test_a_grey_png_with_a_transparent_colour_keeps_its_grey():
    buffer = io.BytesIO()
    noise(4).save(buffer, "PNG", transparency=10)
    decoded = decode(buffer.getvalue(), "a.png")
    assert (decoded.pixels == np.asarray(noise(4))).all()
    assert decoded.remarks == {"transparent"}


def test_a_palette_is_looked_up():
    picture = noise(5).convert("P")
    picture.putpalette(bytes(value for level in range(256) for value in (255 - level,) * 3))
    assert (decode(encode(picture), "a.png").pixels == 255 - np.asarray(noise(5))).all()


@pytest.mark.parametrize(
    ("bits", "colour"),
    [*((bits, 0) for bits in (1, 2, 4, 8, 16)), (8, 2), (16, 2), (8, 6), (16, 6)],
)
def test_a_bomb_is_refused_by_its_header(bits, colour):
    """60,000 × 60,000 would be 3.6 GB and more."""
    small = zlib.compress(bytes(1000))
    bomb = join_chunks(header(60_000, 60_000, bits, colour), (b"IDAT", small), (b"IEND", b""))
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=rf"^a\.png: claims 60000×60000 pixels; at most {MAX_PIXELS}"
    ):
        decode(bomb, "a.png")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_jpeg_bomb_is_refused_too():
    buffer = io.BytesIO()
    noise(1).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 9_000, 9_000)
    with pytest.raises(ValueError, match=r"^a\.jpg: claims 9000×9000"):
        decode(bytes(content), "a.jpg")


def test_an_image_of_the_largest_size_is_decoded():
    pixels = np.zeros((2**12, 2**13), np.uint8)
    assert decode(encode(Image.fromarray(pixels)), "a.png").pixels.shape == (2**12, 2**13)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"GIF89a" + bytes(50), "neither PNG, JPEG nor DICOM"),
        (bytes(5000), "neither PNG, JPEG nor DICOM"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(content, reason):
    with pytest.raises(ValueError, match=rf"^a\.png: not a readable image \({reason}\)$"):
        decode(content, "a.png")
