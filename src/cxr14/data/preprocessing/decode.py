"""From the bytes of an image file to grey pixels, whatever the file turns out to be.

Nearly all files of the set are 8-bit grey PNGs. Those are decoded by kornia-rs (the Rust ``png``
library), in less than half of Pillow's time (benchmarks/preprocess.py); the pixels are the same.
Everything else, and whatever kornia-rs refuses, is left to Pillow, which also names the fault.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import kornia_rs.io
import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.errors import UserError

MAX_PIXELS = 2**25
"""Larger images are refused before their pixels are allocated: 33.5 million, twice the largest
chest detectors (43 cm at 0.1 mm). It keeps a worker below 0.3 GB even for RGBA."""

_FORMATS = ("PNG", "JPEG")
_HEADER = struct.Struct(">8s4x4sIIBBxxB")
"""Start of a PNG: signature, IHDR, width, height, bits, colour type, interlacing (PNG, 11.2.2)."""


@dataclass(frozen=True)
class Decoded:
    """A grey picture and what its file was.

    Attributes:
        pixels: uint8 (height, width).
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        format: PNG or JPEG, by content.
        interlaced: the PNG is stored in seven passes.
    """

    pixels: npt.NDArray[np.uint8]
    mode: str
    format: str
    interlaced: bool


def decode(content: bytes, name: str) -> Decoded:
    """Decode a PNG or JPEG, known by its content and not by its name.

    Args:
        content: bytes of the file.
        name: for the error.

    Raises:
        UserError: the bytes are no whole image, or claim more than MAX_PIXELS.
    """
    if not content:
        raise UserError(f"{name}: not a readable image (the file is empty)")
    header = _png_header(content)
    if header:
        width, height, bits, colour, interlaced = header
        _check_size(width, height, name)
        if (bits, colour) == (8, 0):
            grey = _decode_grey(content, width, height)
            if grey is not None:
                return Decoded(grey, "L", "PNG", bool(interlaced))
    return _decode_any(content, name, bool(header and header[4]))


def _png_header(content: bytes) -> tuple[int, int, int, int, int] | None:
    """Return width, height, bits, colour type and interlacing, or None if this is no PNG."""
    if len(content) < _HEADER.size:
        return None
    signature, chunk, *fields = _HEADER.unpack_from(content)
    return tuple(fields) if (signature, chunk) == (b"\x89PNG\r\n\x1a\n", b"IHDR") else None


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{name}: claims {width}×{height} pixels; at most {MAX_PIXELS} are decoded")


def _decode_grey(content: bytes, width: int, height: int) -> npt.NDArray[np.uint8] | None:
    """Decode an 8-bit grey PNG, uint8 (height, width); None if it needs a second look."""
    try:
        pixels = kornia_rs.io.decode_image_png_u8(content, (height, width), "mono")
    except Exception:  # it raises nothing narrower; Pillow decides, and says what is wrong
        return None
    return np.asarray(pixels, np.uint8).reshape(height, width)


def _decode_any(content: bytes, name: str, interlaced: bool) -> Decoded:
    """Decode with Pillow."""
    with _one_sentence(name):
        file = Image.open(io.BytesIO(content), formats=_FORMATS)  # reads the header only
    with file:
        _check_size(*file.size, name)
        with _one_sentence(name):
            kind = "PNG" if file.format == "PNG" else "JPEG"
            mode, pixels = file.mode, np.asarray(_grey(file), np.uint8)
    return Decoded(pixels, mode, kind, interlaced)


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Turn what Pillow raises into a UserError; broken bytes lead it to errors of many types."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise UserError(f"{name}: not a readable image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """Say what Pillow said, without the address of our buffer."""
    text = str(error) or type(error).__name__
    return "neither PNG nor JPEG" if text.startswith("cannot identify") else text


def _grey(file: Image.Image) -> Image.Image:
    """Return mode L. The set's RGBA images are grey with a full alpha channel, which is dropped."""
    if file.mode.startswith("I"):  # 16 bits: keep the upper eight
        deep = np.asarray(file).astype(np.int64)
        return Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    if file.mode in ("P", "LA", "PA", "RGBA"):
        return file.convert("RGBA").convert("RGB").convert("L")
    return file.convert("L")
