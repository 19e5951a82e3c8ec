"""Orientation metadata, and the remarks on what is odd about a file."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from cxr14.preprocessing.complete import ImageError
from cxr14.preprocessing.decode import LEAST_SIDE, REMARKS, decode, shrink
from tests.datasets.pictures import encode, noise
from tests.preprocessing.chunks import header, join_chunks

WIDE = noise(5, 40, 60)
DEEP = np.asarray(WIDE).astype(np.uint16) << 8
SMOOTH = Image.linear_gradient("L").resize((60, 40))


def saved(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: object) -> Image.Exif:
    metadata = Image.Exif()
    metadata[0x0112] = orientation
    return metadata


VIEWED = {  # as the EXIF specification says where row 0 and column 0 are
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: x[::-1].T,
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: x.T[::-1],
}


@pytest.mark.parametrize("orientation", VIEWED)
def test_every_orientation_of_a_png_is_turned_as_it_is_viewed(orientation):
    content = saved(WIDE, exif=exif(orientation))
    decoded = decode(content, "a.png")
    assert (decoded.pixels == VIEWED[orientation](np.asarray(WIDE))).all()
    with Image.open(io.BytesIO(content)) as file:
        assert (decoded.pixels == np.asarray(ImageOps.exif_transpose(file))).all()
    assert decoded.remarks == (set() if orientation == 1 else {"rotated_by_exif"})


@pytest.mark.parametrize("orientation", VIEWED)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_orientation_of_a_jpeg_is_turned_as_it_is_viewed(orientation, mode):
    content = saved(SMOOTH.convert(mode), "JPEG", exif=exif(orientation))
    plain = decode(saved(SMOOTH.convert(mode), "JPEG"), "a.jpg").pixels
    decoded = decode(content, "a.jpg")
    assert (decoded.pixels == VIEWED[orientation](plain)).all()
    assert ("rotated_by_exif" in decoded.remarks) == (orientation != 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "I;16"])
def test_other_pixel_formats_are_turned_too(mode):
    picture = WIDE.convert(mode) if mode != "I;16" else Image.fromarray(DEEP)
    turned = decode(saved(picture, exif=exif(6)), "a.png")
    plain = decode(saved(picture), "a.png")
    assert (turned.pixels == plain.pixels[::-1].T).all()


def test_an_orientation_behind_the_pixels_or_in_xmp_is_seen():
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(WIDE))
    data = (b"IDAT", zlib.compress(rows))
    chunk = (b"eXIf", exif(6).tobytes()[6:])
    content = join_chunks(header(60, 40), data, chunk, (b"IEND", b""))
    assert (decode(content, "a.png").pixels == np.asarray(WIDE)[::-1].T).all()
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><a tiff:Orientation="6"/></x:xmpmeta>')
    decoded = decode(saved(WIDE, pnginfo=text), "a.png")
    assert (decoded.pixels == np.asarray(WIDE)[::-1].T).all()


@pytest.mark.parametrize("value", [0, 9, 200])
def test_an_orientation_that_does_not_exist_is_passed_over(value):
    decoded = decode(saved(WIDE, exif=exif(value)), "a.png")
    assert (decoded.pixels == np.asarray(WIDE)).all()
    assert decoded.remarks == set()


def test_broken_metadata_is_passed_over():
    content = saved(SMOOTH, "JPEG", exif=b"Exif\0\0MM\0*broken")
    plain = decode(saved(SMOOTH, "JPEG"), "a.jpg").pixels
    assert (decode(content, "a.jpg").pixels == plain).all()


def test_the_place_of_a_turned_picture_is_that_of_what_is_viewed():
    source = np.zeros((60, 100), np.uint8)
    source[10:50, 30:70] = 255
    viewed = Image.fromarray(source)
    stored = viewed.transpose(Image.Transpose.ROTATE_90)  # orientation 6 turns it back
    shrunk = shrink(saved(stored, exif=exif(6)), 50, "a.png")
    alone = shrink(encode(viewed), 50, "a.png")
    assert (shrunk.source_width, shrunk.source_height) == (100, 60)
    assert (shrunk.scale, shrunk.offset_x, shrunk.offset_y) == (0.5, 0, 10)
    assert (shrunk.pixels == alone.pixels).all()
    assert shrunk.remarks == ("padded", "rotated_by_exif")


def half_clear(mode: str) -> Image.Image:
    picture = WIDE.convert(mode)
    picture.putalpha(Image.linear_gradient("L").resize(WIDE.size))
    return picture


COLOURS = Image.merge("RGB", [noise(n, 40, 60) for n in (1, 2, 3)])
ROUNDED = Image.merge("RGB", [WIDE, WIDE.point(lambda v: min(255, v + 2)), WIDE])
SEPIA = Image.merge("RGB", [WIDE, WIDE.point(lambda v: v * 0.9), WIDE.point(lambda v: v * 0.7)])
TWO = {"save_all": True, "append_images": [noise(9, 40, 60)]}
LETTER = WIDE.convert("RGB")
LETTER.paste((255, 0, 0), (2, 2, 6, 6))


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        (saved(half_clear("RGBA")), {"transparent"}),
        (saved(half_clear("LA")), {"transparent"}),
        (saved(WIDE.convert("RGBA")), set()),
        (saved(WIDE.convert("P"), transparency=3), {"transparent"}),
        (saved(WIDE.convert("RGB"), transparency=(1, 1, 1)), {"transparent"}),
        (saved(COLOURS), {"colour"}),
        (saved(SEPIA), {"colour"}),
        (saved(LETTER), {"colour"}),
        (saved(ROUNDED), set()),
        (saved(WIDE.convert("RGB")), set()),
        (saved(SEPIA.quantize(64)), {"colour"}),
        (saved(SMOOTH.convert("RGB"), "JPEG"), {"jpeg"}),
        (saved(COLOURS, "JPEG"), {"jpeg", "colour"}),
        (saved(SMOOTH.convert("CMYK"), "JPEG"), {"jpeg", "cmyk"}),
        (saved(WIDE, **TWO), {"more_frames"}),
        (saved(SMOOTH, "MPO", **TWO), {"jpeg", "more_frames"}),
        (saved(WIDE.convert("1")), {"low_bit_depth"}),
        (saved(WIDE) + b"more", {"trailing_data"}),
        (saved(SMOOTH, "JPEG") + b"more", {"jpeg", "trailing_data"}),
        (saved(Image.fromarray(DEEP >> 8)), {"unused_bits"}),
        (saved(Image.fromarray(DEEP >> 4)), {"unused_bits"}),
        (saved(Image.fromarray(DEEP)), set()),
    ],
)
def test_what_is_odd_about_a_file_is_said(content, remarks):
    decoded = decode(content, "a")
    assert decoded.remarks == remarks
    assert remarks <= set(REMARKS)
    assert decoded.pixels.shape == (40, 60)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (31, 64), (64, 31), (1, 1000)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_below_the_least_side_is_refused(size, kind):
    with pytest.raises(ImageError, match=rf"{size[0]}×{size[1]} pixels; a side has at least 32"):
        shrink(saved(Image.new("L", size, 90), kind), 64, "a.png")


def test_an_image_of_the_least_side_is_taken():
    assert shrink(saved(noise(1, LEAST_SIDE, LEAST_SIDE)), 64, "a.png").source_width == LEAST_SIDE
