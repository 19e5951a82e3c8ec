"""Decode image files to grey pixels, and resize them to squares.

8-bit grey PNGs, nearly all files of the set, are decoded by kornia-rs (the Rust ``png`` library) in
less than half of Pillow's time (benchmarks/preprocess.py); the pixels are the same. Pillow decodes
everything else but DICOM (dicom.py). Every file is first checked for completeness (complete.py).
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import kornia_rs.io
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from cxr14.datasets.archive_kinds import is_dicom
from cxr14.datasets.image_sources import FORMATS, orientation
from cxr14.preprocessing.complete import (
    ImageError,
    PngFacts,
    PngHeader,
    check_jpeg,
    check_png,
    check_size,
    not_readable,
    read_header,
)
from cxr14.preprocessing.dicom import decode_dicom
from cxr14.preprocessing.photometry import remarks_on

COLOUR = 8
"""Minimum difference in grey levels between two channels of a coloured image. Rounding and JPEG's
chroma make differences of one or two in a grey one."""

_STRIP = 512
"""Rows compared at a time, to bound the memory."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transformation for each EXIF orientation; 1 needs none."""


@dataclass(frozen=True)
class Decoded:
    """A grey image and properties of its file.

    Attributes:
        pixels: uint8 (height, width), as displayed: its orientation metadata is applied.
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        format: PNG, JPEG or DICOM, by content.
        remarks: names of REMARKS that hold for the file.
        spacing: horizontal and vertical distance of pixels in mm, if the file is a DICOM with it.
    """

    pixels: npt.NDArray[np.uint8]
    mode: str
    format: str
    remarks: frozenset[str] = frozenset()
    spacing: tuple[float, float] | None = None


def decode(content: bytes, name: str) -> Decoded:
    """Decode a PNG, JPEG or DICOM, identified by its content.

    Args:
        content: bytes of the file.
        name: name of the image in errors.

    Raises:
        ImageError: the bytes are no complete image, more than MAX_PIXELS, or a DICOM that is no
            grey radiograph.
    """
    if not content:
        raise not_readable(name, "the file is empty", "unreadable")
    header = read_header(content, name)
    if header is None:
        if is_dicom(content):
            return _decode_dicom(content, name)
        return _decode_any(content, name, frozenset())
    check_size(header.width, header.height, name)
    facts = check_png(content, header, name)
    remarks = _png_remarks(header, facts)
    if (header.bits, header.colour) == (8, 0) and not (facts.transparent or facts.may_turn):
        grey = _decode_grey(content, header.width, header.height)
        if grey is not None:
            return Decoded(grey, "L", "PNG", remarks)
    decoded = _decode_any(content, name, remarks)
    if header.bits == 16 and decoded.pixels.max() < 128:
        return Decoded(decoded.pixels, decoded.mode, "PNG", decoded.remarks | {"unused_bits"})
    return decoded


def _decode_dicom(content: bytes, name: str) -> Decoded:
    radiograph = decode_dicom(content, name)
    remarks = {"dicom", "unused_bits"} if radiograph.unused_bits else {"dicom"}
    mode = "L" if radiograph.bits == 8 else "I;16"
    return Decoded(radiograph.pixels, mode, "DICOM", frozenset(remarks), radiograph.spacing)


def _png_remarks(header: PngHeader, facts: PngFacts) -> frozenset[str]:
    flags = {
        "interlaced": header.interlaced,
        "low_bit_depth": header.bits < 8,
        "transparent": facts.transparent,
        "more_frames": facts.frames > 1,
        "trailing_data": facts.trailing,
    }
    return frozenset(name for name, holds in flags.items() if holds)


def _decode_grey(content: bytes, width: int, height: int) -> npt.NDArray[np.uint8] | None:
    """Decode an 8-bit grey PNG, uint8 (height, width); None if Pillow has to decode it."""
    try:
        pixels = kornia_rs.io.decode_image_png_u8(content, (height, width), "mono")
    except Exception:  # kornia-rs raises nothing narrower; Pillow raises the reason
        return None
    return np.asarray(pixels, np.uint8).reshape(height, width)


def _decode_any(content: bytes, name: str, known: frozenset[str]) -> Decoded:
    """Decode with Pillow; `known` are remarks from the header."""
    with _one_sentence(name):
        file = Image.open(io.BytesIO(content), formats=FORMATS)  # reads the header only
    with file:
        check_size(*file.size, name)
        kind = "PNG" if file.format == "PNG" else "JPEG"
        remarks = set(known)
        if kind == "JPEG":
            remarks |= _jpeg_remarks(content, file, name)
        with _one_sentence(name):
            file.load()
            mode, turn = file.mode, _TURNS.get(orientation(file))
            remarks |= _pixel_remarks(file)
            grey = _grey(file)
        if turn is not None:
            grey = grey.transpose(turn)
            remarks.add("rotated_by_exif")
        return Decoded(np.asarray(grey, np.uint8), mode, kind, frozenset(remarks))


def _jpeg_remarks(content: bytes, file: Image.Image, name: str) -> set[str]:
    """Check a JPEG; return its remarks."""
    more = getattr(file, "n_frames", 1) > 1
    end = check_jpeg(content, file.mode, name)
    flags = {
        "jpeg": True,
        "cmyk": file.mode == "CMYK",
        "more_frames": more,
        "trailing_data": end < len(content) and not more,
    }
    return {remark for remark, holds in flags.items() if holds}


def _pixel_remarks(file: Image.Image) -> set[str]:
    """Return the remarks on transparent pixels and colour."""
    remarks = set()
    if "A" in file.getbands() and np.asarray(file.getchannel("A")).min() < 255:
        remarks.add("transparent")
    if file.mode not in ("1", "L", "LA", "I", "I;16") and _spread(file) >= COLOUR:
        remarks.add("colour")
    return remarks


def _spread(file: Image.Image) -> int:
    """Return the largest difference between two channels of a pixel."""
    width, height = file.size
    largest = 0
    for top in range(0, height, _STRIP):
        strip = file.crop((0, top, width, min(top + _STRIP, height)))
        red, green, blue = strip.convert("RGBA").convert("RGB").split()
        for pair in ((red, green), (green, blue), (blue, red)):
            largest = max(largest, int(np.asarray(ImageChops.difference(*pair)).max()))
    return largest


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Raise an ImageError for any error of Pillow, whose types vary for damaged files.

    Warnings are ignored: they concern metadata that cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        if text.startswith("cannot identify"):  # followed by the address of a buffer
            raise not_readable(name, "neither PNG, JPEG nor DICOM", "unreadable") from None
        raise not_readable(name, text) from None


def _grey(file: Image.Image) -> Image.Image:
    """Return mode L. The set's RGBA images are grey with a full alpha channel, which is dropped."""
    if file.mode.startswith("I"):  # 16 bits: keep the upper eight
        return Image.fromarray((np.asarray(file) >> 8).clip(0, 255).astype(np.uint8))
    file.info.pop("transparency", None)
    if file.mode in ("P", "LA", "PA", "RGBA"):
        return file.convert("RGBA").convert("RGB").convert("L")
    return file.convert("L")


# Remarks on usable images, for the issues table, metrics and serving.

REMARKS: dict[str, tuple[str, str]] = {
    "jpeg": ("kept", "a JPEG file"),
    "dicom": ("kept", "a DICOM file"),
    "interlaced": ("kept", "stored in seven passes"),
    "wrong_extension": ("kept", "the content is of another format than the file name says"),
    "padded": ("changed", "not square; black margins were added"),
    "rotated_by_exif": ("changed", "turned or mirrored as its orientation metadata says"),
    "transparent": ("changed", "has transparent pixels; the transparency was dropped"),
    "colour": ("changed", "has colour; its luma was taken"),
    "cmyk": ("changed", "a CMYK file; converted by way of RGB to its luma"),
    "more_frames": ("changed", "holds more than one picture; only the first was taken"),
    "low_bit_depth": ("kept", "less than 8 bits per pixel, so at most 16 grey levels"),
    "unused_bits": (
        "kept",
        "over 8 bits per pixel, of which the upper are unused: low contrast",
    ),
    "trailing_data": ("kept", "data follows the end of the image"),
    "inverted": ("kept", "looks like a negative"),
    "faint": ("kept", "hardly any contrast"),
}
"""By name: action and detail in the issues table."""


KERNEL = Image.Resampling.BILINEAR
"""Pillow's bilinear kernel, whose support grows with the reduction. Its aliasing is as low as any
that was measured (benchmarks/kernel.py, docs/lab-notes/preprocessing.md), it does not overshoot at
edges, and it costs half of bicubic. Another kernel changes every cache."""

LEAST_SIDE = 32
"""Minimum side in pixels. Networks reduce an image 32-fold, so a smaller one would be less than one
cell of their maps. A smaller file is an icon or a placeholder, not a radiograph."""

_SUFFIXES = {
    "PNG": {".png"},
    "JPEG": {".jpg", ".jpeg"},
    "DICOM": {".dcm", ".dicom", ".dic"},
}


@dataclass(frozen=True)
class Shrunk:
    """Cached image and its geometry: ``x_cache = x_source * scale + offset_x``.

    Attributes:
        pixels: uint8 (S, S).
        mode: Pillow's name of the file's pixel format, for example L or RGBA.
        remarks: names in REMARKS, in its order.
        source_width: width in pixels as displayed.
        source_height: height in pixels as displayed.
        scale: cached pixels per source pixel.
        offset_x: in cached pixels.
        offset_y: in cached pixels.
        pixel_spacing_x: mm per source pixel, by a DICOM; None where a file does not name it.
        pixel_spacing_y: likewise.
    """

    pixels: npt.NDArray[np.uint8]
    mode: str
    remarks: tuple[str, ...]
    source_width: int
    source_height: int
    scale: float
    offset_x: float
    offset_y: float
    pixel_spacing_x: float | None = None
    pixel_spacing_y: float | None = None


def shrink(content: bytes, size: int, name: str) -> Shrunk:
    """Decode a PNG, JPEG or DICOM, pad it to a square with black, and resize it.

    The padding is whole source pixels, so boxes map without rounding.

    Args:
        content: bytes of the file.
        size: pixels per side of the result.
        name: name of the image, whose suffix is compared with the content.

    Raises:
        ImageError: see :func:`decode`, or the image has too few pixels.
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
    names = {*decoded.remarks, *remarks_on(pixels[rows, columns])}
    if suffix and suffix not in _SUFFIXES[decoded.format]:
        names.add("wrong_extension")
    if width != height:
        names.add("padded")
    remarks = tuple(name for name in REMARKS if name in names)
    geometry = (width, height, scale, left * scale, top * scale)
    return Shrunk(pixels, decoded.mode, remarks, *geometry, *(decoded.spacing or ()))
