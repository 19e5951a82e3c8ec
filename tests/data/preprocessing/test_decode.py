"""From bytes to grey pixels: two decoders, one picture; and what is refused."""

import io
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr14.data.preprocessing.decode import MAX_PIXELS, _decode_grey, decode
from tests.data.pictures import encode, noise

PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
"""Adam7 (PNG specification 8.2): first column, first row, column step, row step."""


def join_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with a right checksum."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def header(width: int, height: int, bits: int = 8, colour: int = 0, interlaced: int = 0):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)


def interlaced(pixels: np.ndarray) -> bytes:
    """A grey PNG in seven passes, which Pillow cannot write."""
    height, width = pixels.shape
    parts = [pixels[y::down, x::right] for x, y, right, down in PASSES]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    return join_chunks(
        header(width, height, interlaced=1), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    )


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
    assert (decoded.mode, decoded.format, decoded.interlaced) == ("L", "PNG", passes)
    assert _decode_grey(content, width, height) is not None  # the fast way was taken


def test_all_real_files_give_the_pixels_that_pillow_gives(nih):
    inventory = pd.read_csv(nih / "inventory.csv")
    for name, mode in zip(inventory.name, inventory["mode"], strict=True):
        content = (nih / "images" / name).read_bytes()
        decoded = decode(content, name)
        assert decoded.mode == mode
        assert (decoded.pixels == by_pillow(content)).all()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_broken_bytes_are_refused_or_give_the_pixels_that_pillow_gives(data):
    content = bytearray(encode(noise(3, 17, 13)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 13))] = data.draw(st.integers(0, 255))
    decoded = said = None
    try:
        decoded = decode(bytes(content), "a.png")
    except ValueError as error:
        said = str(error)
    if decoded:
        assert (decoded.pixels == by_pillow(bytes(content))).all()
    else:
        assert re.fullmatch(r"a\.png: .*", said)


def test_a_grey_png_with_a_transparent_colour_keeps_its_grey():
    buffer = io.BytesIO()
    noise(4).save(buffer, "PNG", transparency=10)
    assert (decode(buffer.getvalue(), "a.png").pixels == np.asarray(noise(4))).all()


def test_a_palette_is_looked_up():
    picture = noise(5).convert("P")
    picture.putpalette(bytes(value for level in range(256) for value in (255 - level,) * 3))
    assert (decode(encode(picture), "a.png").pixels == 255 - np.asarray(noise(5))).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("colour", [0, 2, 6])
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
        (b"GIF89a" + bytes(50), "neither PNG nor JPEG"),
        (bytes(5000), "neither PNG nor JPEG"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(content, reason):
    with pytest.raises(ValueError, match=rf"^a\.png: not a readable image \({reason}\)$"):
        decode(content, "a.png")
