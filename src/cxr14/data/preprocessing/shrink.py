"""One image: from the bytes of a file to a square grey array, and where it came to lie."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.data.preprocessing.decode import decode
from cxr14.data.preprocessing.photometry import remarks_on

KERNEL = Image.Resampling.BILINEAR
"""Pillow's bilinear kernel, whose support grows with the reduction. It makes as little false detail
as any that was measured (benchmarks/kernel.py, docs/preprocess.md), has no negative weights and so
never overshoots at an edge, and costs half of bicubic. Another one changes every cache."""

_SUFFIXES = {"PNG": {".png"}, "JPEG": {".jpg", ".jpeg"}}


@dataclass(frozen=True)
class Shrunk:
    """A cached image and its place: ``x_cache = x_source * scale + offset_x``.

    Attributes:
        pixels: uint8 (S, S).
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        remarks: any of jpeg, interlaced, wrong_extension, padded, inverted, faint.
        source_width: pixels of the file.
        source_height: pixels of the file.
        scale: cached pixels per source pixel.
        offset_x: cached pixels.
        offset_y: cached pixels.
    """

    pixels: npt.NDArray[np.uint8]
    mode: str
    remarks: tuple[str, ...]
    source_width: int
    source_height: int
    scale: float
    offset_x: float
    offset_y: float


REMARKS = ("jpeg", "interlaced", "wrong_extension", "padded", "inverted", "faint")


def shrink(content: bytes, size: int, name: str) -> Shrunk:
    """Decode a PNG or JPEG, pad it to a square with black, and resize it.

    The padding is whole source pixels, so boxes map without rounding.

    Args:
        content: bytes of the file.
        size: pixels per side of the result.
        name: for the error, and to compare its extension with the content.

    Raises:
        UserError: the bytes are no whole image, or claim too many pixels.
    """
    decoded = decode(content, name)
    height, width = decoded.pixels.shape
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    grey = Image.fromarray(decoded.pixels)
    if width != height:
        square = Image.new("L", (side, side))
        square.paste(grey, (left, top))
        grey = square
    pixels = np.asarray(grey.resize((size, size), KERNEL), np.uint8)
    scale = size / side
    rows, columns = (
        slice(round(a * scale), round((a + n) * scale)) for a, n in ((top, height), (left, width))
    )
    said = {
        "jpeg": decoded.format == "JPEG",
        "interlaced": decoded.interlaced,
        "wrong_extension": PurePosixPath(name).suffix.lower() not in _SUFFIXES[decoded.format],
        "padded": width != height,
        **dict.fromkeys(remarks_on(pixels[rows, columns]), True),
    }
    remarks = tuple(name for name in REMARKS if said.get(name))
    place = (width, height, scale, left * scale, top * scale)
    return Shrunk(pixels, decoded.mode, remarks, *place)
