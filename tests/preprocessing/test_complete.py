"""Files that are damaged or cut are refused in every pixel format; nothing is filled in."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr14.preprocessing.complete import ImageError
from cxr14.preprocessing.decode import decode
from tests.datasets.pictures import encode, noise
from tests.preprocessing.chunks import header, interlaced, join_chunks

PICTURE = Image.radial_gradient("L").resize((60, 52))
GREY = np.asarray(PICTURE)
BITS = {1: "1", 2: "2", 4: "4"}


def low_bits(bits: int) -> bytes:
    """A grey PNG of less than 8 bits."""
    levels = GREY >> (8 - bits)
    rows = b""
    for row in levels:
        one = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        rows += b"\0" + np.packbits(one.ravel()).tobytes()
    data = zlib.compress(rows)
    return join_chunks(header(60, 52, bits), (b"IDAT", data), (b"IEND", b""))


def jpeg(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


PNGS = {
    "grey": encode(PICTURE),
    "grey, interlaced": interlaced(GREY),
    "RGB": encode(PICTURE.convert("RGB")),
    "RGBA": encode(PICTURE.convert("RGBA")),
    "LA": encode(PICTURE.convert("LA")),
    "palette": encode(PICTURE.convert("P")),
    "16 bits": encode(Image.fromarray(GREY.astype(np.uint16) * 257)),
    **{f"{bits} bits": low_bits(bits) for bits in BITS},
}
INKS = Image.merge("CMYK", [noise(number, 60, 52) for number in range(4)])
JPEGS = {
    "grey": jpeg(PICTURE),
    "RGB": jpeg(PICTURE.convert("RGB")),
    "progressive": jpeg(PICTURE, progressive=True),
    "restart markers": jpeg(PICTURE, restart_marker_blocks=4),
    "CMYK": jpeg(PICTURE.convert("CMYK")),
    "CMYK progressive": jpeg(INKS, progressive=True),
    "CMYK restart markers": jpeg(INKS, restart_marker_blocks=2),
    "CMYK flat": jpeg(Image.new("CMYK", (64, 64), 9)),
}


def refusal(content: bytes) -> str:
    with pytest.raises(ImageError, match=r"^a: (not a readable image \(|claims)") as caught:
        decode(content, "a")
    assert caught.value.issue in ("damaged", "unreadable", "too large")
    return str(caught.value)


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    position, found = 8, []
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        body = content[position + 8 : position + 8 + length]
        found.append((content[position + 4 : position + 8], body))
        position += 12 + length
    return found


def with_data(content: bytes, change) -> bytes:
    """The PNG with other pixel data, in a chunk with a right CRC."""
    found = chunks_of(content)
    data = b"".join(body for kind, body in found if kind == b"IDAT")
    first = next(n for n, (kind, _) in enumerate(found) if kind == b"IDAT")
    kept = [chunk for chunk in found if chunk[0] != b"IDAT"]
    return join_chunks(*kept[:first], (b"IDAT", change(data)), *kept[first:])


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_cut_anywhere_is_refused(kind):
    content = PNGS[kind]
    decode(content, "a")
    for end in [*range(1, 60), *range(60, len(content), 13), len(content) - 1]:
        refusal(content[:end])


@pytest.mark.parametrize("kind", PNGS)
def test_a_flipped_bit_anywhere_in_a_png_is_refused(kind):
    content = PNGS[kind]
    rng = np.random.default_rng(0)
    for place in {*range(45), *rng.integers(0, len(content), 150).tolist()}:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        refusal(bytes(flipped))


CHANGES = {
    "rows are missing": lambda raw, rows: zlib.compress(raw[: len(raw) // 2]),
    "one byte is missing": lambda raw, rows: zlib.compress(raw[:-1]),
    "more pixel data": lambda raw, rows: zlib.compress(raw + raw[:40]),
    "damaged": lambda raw, rows: rows[:-1] + bytes([rows[-1] ^ 1]),  # the Adler checksum
    "checksum of the PNG's pixel data is missing": lambda raw, rows: rows[:-4],
    "are missing": lambda raw, rows: rows[: len(rows) // 2],
}


@pytest.mark.parametrize("kind", PNGS)
@pytest.mark.parametrize("said", CHANGES)
def test_pixel_data_of_another_length_or_checksum_is_refused_under_a_right_crc(kind, said):
    changed = with_data(PNGS[kind], lambda data: CHANGES[said](zlib.decompress(data), data))
    sentence = refusal(changed)
    assert said.split()[-1] in sentence or "missing" in sentence


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_without_its_end_chunk_is_refused(kind):
    assert "no IEND chunk" in refusal(PNGS[kind][:-12])


def test_pixel_data_in_pieces_with_other_chunks_between_is_refused():
    data = dict(chunks_of(PNGS["grey"]))[b"IDAT"]
    pieces = [(b"IDAT", data[:99]), (b"tEXt", b"a\0b"), (b"IDAT", data[99:]), (b"IEND", b"")]
    assert "interrupt" in refusal(join_chunks(header(60, 52), *pieces))
    pieces.pop(1)
    assert (decode(join_chunks(header(60, 52), *pieces), "a").pixels == GREY).all()


def test_a_palette_without_its_colours_is_refused():
    kept = [chunk for chunk in chunks_of(PNGS["palette"]) if chunk[0] != b"PLTE"]
    assert "palette is missing" in refusal(join_chunks(*kept))


@pytest.mark.parametrize("bad", [(7, 0, 0), (8, 1, 0), (16, 3, 0), (8, 0, 2)])
def test_a_header_that_no_png_may_have_is_refused(bad):
    bits, colour, passes = bad
    content = join_chunks(header(60, 52, bits, colour, passes), (b"IDAT", b""), (b"IEND", b""))
    assert "header" in refusal(content)


def test_pixel_data_that_inflates_without_end_is_refused_at_its_size():
    bomb = zlib.compress(bytes(50_000_000))
    sentence = refusal(join_chunks(header(60, 52), (b"IDAT", bomb), (b"IEND", b"")))
    assert "more pixel data" in sentence


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_cut_anywhere_is_refused(kind):
    content = JPEGS[kind]
    decode(content, "a")
    for end in [*range(1, len(content), 7), len(content) - 1]:
        refusal(content[:end])


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_was_cut_and_closed_again_is_refused(kind):
    """Pillow fills the rest with grey."""
    content = JPEGS[kind]
    for end in range(content.index(b"\xff\xda") + 12, len(content) - 3, 5):
        refusal(content[:end] + b"\xff\xd9")


def test_zeros_in_the_data_of_a_jpeg_are_refused():
    content = jpeg(noise(3, 200, 200))
    middle = len(content) // 2
    refusal(content[:middle] + bytes(2000) + content[middle + 2000 :])
