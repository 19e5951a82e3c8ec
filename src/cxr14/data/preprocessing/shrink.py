"""One image: from the bytes of a file to a square grey array, and where it came to lie."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.data.preprocessing.decode import decode
from cxr14.data.preprocessing.faults import ImageError
from cxr14.data.preprocessing.photometry import remarks_on
from cxr14.data.preprocessing.remarks import REMARKS

KERNEL = Image.Resampling.BILINEAR
"""Pillow's bilinear kernel, whose support grows with the reduction. It makes as little false detail
as any that was measured (benchmarks/kernel.py, docs/preprocess.md), has no negative weights and so
never overshoots at an edge, and costs half of bicubic. Another one changes every cache."""

LEAST_SIDE = 32
"""Pixels a side has to have at least. The networks reduce an image 32-fold, so a smaller one would
be less than one cell of their maps, and enlarging adds no detail. No radiograph is so small: a
smaller file is an icon or a placeholder."""

_SUFFIXES = {"PNG": {".png"}, "JPEG": {".jpg", ".jpeg"}}


@dataclass(frozen=True)
class Shrunk:
    """A cached image and its place: ``x_cache = x_source * scale + offset_x``.

    Attributes:
        pixels: uint8 (S, S).
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        remarks: names in REMARKS, in its order.
        source_width: pixels of the picture as it is viewed, turned as its metadata says.
        source_height: the same.
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


def shrink(content: bytes, size: int, name: str) -> Shrunk:
    """Decode a PNG or JPEG, pad it to a square with black, and resize it.

    The padding is whole source pixels, so boxes map without rounding.

    Args:
        content: bytes of the file.
        size: pixels per side of the result.
        name: for the error, and to compare its extension with the content.

    Raises:
        ImageError: the bytes are no whole image, or it has too many or too few pixels.
    """
    decoded = decode(content, name)
    height, width = decoded.pixels.shape
    if min(width, height) < LEAST_SIDE:
        raise ImageError(
            f"{name}: {width}×{height} pixels; a side has at least {LEAST_SIDE}", "too small"
        )
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
    suffix = PurePosixPath(name).suffix.lower()
    said = {*decoded.remarks, *remarks_on(pixels[rows, columns])}
    if suffix and suffix not in _SUFFIXES[decoded.format]:
        said.add("wrong_extension")
    if width != height:
        said.add("padded")
    remarks = tuple(name for name in REMARKS if name in said)
    place = (width, height, scale, left * scale, top * scale)
    return Shrunk(pixels, decoded.mode, remarks, *place)
