"""One image: from the bytes of a file to a square grey array, and where it came to lie."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True)
class Shrunk:
    """A cached image and its place: ``x_cache = x_source * scale + offset_x``.

    Attributes:
        pixels: uint8 (S, S).
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        source_width: pixels of the file.
        source_height: pixels of the file.
        scale: cached pixels per source pixel.
        offset_x: cached pixels.
        offset_y: cached pixels.
    """

    pixels: npt.NDArray[np.uint8]
    mode: str
    source_width: int
    source_height: int
    scale: float
    offset_x: float
    offset_y: float


def shrink(content: bytes, size: int, name: str) -> Shrunk:
    """Decode a PNG or JPEG, pad it to a square with black, and resize it.

    The kernel is Pillow's bilinear one, whose support grows with the reduction, so that nothing
    aliases; the padding is whole source pixels, so boxes map without rounding.

    Args:
        content: bytes of the file.
        size: pixels per side of the result.
        name: for the error.

    Raises:
        ValueError: the bytes are no whole image.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            mode = file.mode
            grey = _grey(file)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name}: not a readable image ({error})") from None
    width, height = grey.size
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    if width != height:
        square = Image.new("L", (side, side))
        square.paste(grey, (left, top))
        grey = square
    resized = grey.resize((size, size), Image.Resampling.BILINEAR)
    scale = size / side
    pixels = np.asarray(resized, np.uint8)
    return Shrunk(pixels, mode, width, height, scale, left * scale, top * scale)


def _grey(file: Image.Image) -> Image.Image:
    """Return mode L. The set's RGBA images are grey with a full alpha channel, which is dropped."""
    if file.mode.startswith("I"):  # 16 bits: keep the upper eight
        deep = np.asarray(file).astype(np.int64)
        return Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    if file.mode in ("P", "LA", "PA", "RGBA"):
        return file.convert("RGB").convert("L")
    return file.convert("L")
