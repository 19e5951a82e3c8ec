"""Decode DICOM radiographs to 8-bit grey pixels.

Intensity mapping, in this order (sections of the DICOM standard, part 3):

1. The modality LUT, or else the rescale slope and intercept (C.11.1), of the stored bits.
2. The first VOI LUT; without one the first window (C.11.2); without either the full range of the
   stored bits. The result is a fraction f of the output range.
3. MONOCHROME1 shows low values bright: f becomes 1 - f.
4. The pixel is floor(256 f), at most 255. So 8 stored bits stay as they are, and of more bits the
   upper eight are kept, as those of a PNG are.

VOI LUT before window and the first of several views are pydicom's ``apply_voi_lut``. The full range
of the bits for files without either is torchxrayvision's reading of VinDr-CXR. MIMIC-CXR-JPG
(arXiv:1901.07042) stretches each image between its own extremes and equalizes the histogram; then
two exposures of one patient would no longer be comparable, and a PNG and its DICOM would differ.

The values of elements never enter errors, except codes such as the modality.
"""

import importlib.metadata
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.datasets.image_sources import (
    JPEG,
    JPEG_2000,
    UNCOMPRESSED,
    TransferSyntaxError,
    read_dicom,
)
from cxr14.preprocessing.complete import (
    ImageError,
    check_jpeg,
    check_size,
    jpeg_segments,
    not_readable,
)

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

MODALITIES = ("CR", "DX", "RG")
"""Computed, digital and conventional (digitized) radiography."""

KEYWORDS = (
    *("Modality", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelData"),
    *("PhotometricInterpretation", "PixelRepresentation", "BitsAllocated", "BitsStored", "HighBit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PixelSpacing", "ImagerPixelSpacing"),
)
"""Elements that are read."""

BIG_ENDIAN = "1.2.840.10008.1.2.2"
EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", EXTENDED)

_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame header; F7 is that of JPEG-LS."""

_SIZ = b"\xff\x4f\xff\x51"
"""Start of a JPEG 2000 codestream: the markers SOC and SIZ."""

_END = b"\xff\xd9"
"""Last marker of JPEG, JPEG-LS and JPEG 2000. Compressed data never contains it."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Radiograph:
    """A decoded DICOM.

    Attributes:
        pixels: uint8 (height, width), 0 is black.
        bits: stored bits per pixel, 8 to 16.
        unused_bits: whether there is neither window nor VOI LUT, and all pixels are in one half
            of the range of more than 8 stored bits.
        spacing: horizontal and vertical distance of pixels in mm, if the file names it.
    """

    pixels: npt.NDArray[np.uint8]
    bits: int
    unused_bits: bool
    spacing: tuple[float, float] | None


def versions() -> str:
    """Return the versions of the packages that decode DICOM, without importing them."""
    names = ("pydicom", "python-gdcm")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def decode_dicom(content: bytes, name: str) -> Radiograph:
    """Decode a DICOM file.

    Args:
        content: bytes of the file.
        name: name of the image in errors.

    Raises:
        ImageError: the file is damaged or truncated, or is no grey radiograph of one frame in a
            transfer syntax that is read.
    """
    with _without_values(name):
        header = read_dicom(content, KEYWORDS)
        for element in list(header):
            if element.is_empty:  # an empty window is no window
                del header[element.tag]
        _check_kind(header, name)
        bits = int(header.BitsStored)
        stored = _stored_pixels(header, name)
        levels, full_range = _grey_levels(header, stored.dtype)
        pixels = levels[stored]
        half = bool(pixels.max() < 128 or pixels.min() >= 128)
        return Radiograph(pixels, bits, full_range and bits > 8 and half, _spacing(header))


@contextmanager
def _without_values(name: str) -> Iterator[None]:
    """Raise an ImageError for any error of the decoders, without its text.

    Their types vary for damaged files, and their texts may quote values of elements.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TransferSyntaxError as error:
        raise _unsupported(
            name,
            f"in transfer syntax {_code(str(error), 64)}; allowed: uncompressed, RLE, JPEG, "
            f"JPEG-LS and JPEG 2000; convert it, for example with `gdcmconv --raw`",
        ) from None
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        reason = f"the DICOM's elements or pixel data are damaged; {type(error).__name__}"
        raise not_readable(name, reason) from None


def _code(value: object, length: int = 16) -> str:
    """Return a code for an error, or ? if it is none: it may be a name in the wrong element."""
    return str(value) if re.fullmatch(rf"[A-Z0-9_. ]{{1,{length}}}", str(value)) else "?"


def _unsupported(name: str, what: str) -> ImageError:
    return ImageError(f"{name}: a DICOM {what}", "unsupported DICOM")


def _check_kind(header: "FileDataset", name: str) -> None:
    """Refuse what is no grey radiograph of one frame.

    Raises:
        ImageError: names the element and the allowed values.
    """
    if "PixelData" not in header:
        raise not_readable(
            name, "the DICOM holds no pixel data, or breaks off before its end", "unreadable"
        )
    modality = header.get("Modality", "")
    if modality not in ("", *MODALITIES):
        allowed = f"{', '.join(MODALITIES)}, or none"
        raise _unsupported(name, f"of modality {_code(modality)}; allowed: {allowed}")
    interpretation = header.PhotometricInterpretation
    if interpretation not in ("MONOCHROME1", "MONOCHROME2") or header.SamplesPerPixel != 1:
        colour = f"in colour ({_code(interpretation)})"
        raise _unsupported(name, f"{colour}; allowed: MONOCHROME1 and MONOCHROME2")
    if (frames := int(header.get("NumberOfFrames", 1))) != 1:
        raise _unsupported(name, f"of {frames} frames; allowed: one frame")
    bits, allocated = int(header.BitsStored), int(header.BitsAllocated)
    highest = int(header.get("HighBit", bits - 1))
    if allocated not in (8, 16) or not 8 <= bits <= allocated or highest != bits - 1:
        raise _unsupported(
            name,
            f"of {bits} stored bits up to bit {highest} in {allocated}; allowed: 8 to 16 stored "
            f"bits in 8 or 16, the lowest ones",
        )


def _stored_pixels(header: "FileDataset", name: str) -> npt.NDArray[np.unsignedinteger]:
    """Decompress the pixels; uint8 or uint16 (height, width), signed ones as their bits.

    Raises:
        ImageError: the data is truncated, or of another size than the header says.
    """
    from pydicom.encaps import generate_frames
    from pydicom.pixels.utils import pixel_array

    syntax = str(header.file_meta.TransferSyntaxUID)
    width, height, bits = int(header.Columns), int(header.Rows), int(header.BitsAllocated)
    check_size(width, height, name)
    if syntax in UNCOMPRESSED:
        expected, size = width * height * bits // 8, len(header.PixelData)
        if size < expected:
            missing = f"{expected - size} of {expected} bytes of the DICOM's pixel data are missing"
            raise not_readable(name, missing)
    decoder = "gdcm" if syntax in (*JPEG, *JPEG_2000) else ""
    if decoder:
        frame = next(generate_frames(header.PixelData, number_of_frames=1))
        depth = _check_frame(frame, syntax, (width, height, bits), name)
        if syntax in LOSSY_JPEG and depth == 8:
            check_jpeg(frame, "L", name)
            return np.asarray(Image.open(io.BytesIO(frame), formats=("JPEG",)), np.uint8)
        if syntax == EXTENDED:
            return _decode_extended(frame, width, height)
    pixels = pixel_array(header, raw=True, decoding_plugin=decoder)
    return pixels.view(f"{pixels.dtype.byteorder}u{pixels.dtype.itemsize}")


def _check_frame(frame: bytes, syntax: str, expected: tuple[int, int, int], name: str) -> int:
    """Check the header and the end of compressed data; return its bits per pixel.

    GDCM allocates what the compressed data says. It ends the process if that has more bits than
    the DICOM allocates, or at a damaged header of a JPEG.

    Raises:
        ImageError: it differs from the expected width, height and allocated bits, or breaks off.
    """
    if _END not in frame:
        raise not_readable(name, "the DICOM's compressed pixel data breaks off before its end")
    width, height, samples, depth = _frame_header(frame, syntax, name)
    if (width, height, samples) != (*expected[:2], 1) or not 2 <= depth <= expected[2]:
        raise not_readable(
            name,
            f"the DICOM's compressed pixel data is of {width}×{height} pixels, {samples} samples "
            f"and {depth} bits; its header says {expected[0]}×{expected[1]}, 1 and {expected[2]}",
        )
    return depth


def _frame_header(frame: bytes, syntax: str, name: str) -> tuple[int, int, int, int]:
    """Return width, height, samples per pixel and bits per sample by the compressed data."""
    if syntax in JPEG_2000:
        siz = frame[frame.index(_SIZ) + len(_SIZ) :]
        right, bottom, left, top = (int.from_bytes(siz[n : n + 4], "big") for n in (4, 8, 12, 16))
        samples, depth = int.from_bytes(siz[36:38], "big"), (siz[38] & 0x7F) + 1
        return right - left, bottom - top, samples, depth
    segments: Iterable[tuple[int, bytes, int]] = jpeg_segments(frame, name)
    if syntax not in JPEG_LS:  # whose scans end otherwise
        segments = list(segments)
    body = next(body for marker, body, _ in segments if marker in _FRAMES)
    height, width = (int.from_bytes(body[n : n + 2], "big") for n in (1, 3))
    return width, height, body[5], body[0]


def _decode_extended(frame: bytes, width: int, height: int) -> npt.NDArray[np.unsignedinteger]:
    """Decode a 12-bit lossy JPEG; uint16 (height, width).

    pydicom does not hand these to GDCM. Its pixels are those of DCMTK
    (https://github.com/tfmoraes/python-gdcm/issues/35).
    """
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((width, height, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 12, 12, 11, 0))
    buffer = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(buffer, np.uint16).reshape(height, width)


# Intensities. Every step maps one value to one value, so all are applied once to the values that
# a pixel can have, and the pixels are then looked up.


def _grey_levels(
    header: "FileDataset", dtype: np.dtype[np.unsignedinteger]
) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return the grey level of each value of a pixel, and whether the full range is mapped.

    Args:
        header: elements of the file.
        dtype: uint8 or uint16, of the pixels. Bits above the stored ones have no meaning.
    """
    from pydicom.pixels.processing import apply_modality_lut

    bits = int(header.BitsStored)
    stored: Integers = np.arange(1 << (8 * dtype.itemsize)) & ((1 << bits) - 1)
    if header.PixelRepresentation:
        stored -= (stored >> (bits - 1)) << bits
    values = apply_modality_lut(stored, header).astype(np.float64)
    fractions, full_range = _voi_lut(header, values), False
    if fractions is None:
        fractions = _window(header, values)
    if fractions is None:
        fractions, full_range = (values - values.min()) / np.ptp(values), True
    if header.PhotometricInterpretation == "MONOCHROME1":
        fractions = 1 - fractions
    if not np.isfinite(fractions).all():
        raise ValueError("an element of the intensity mapping is not finite")
    return np.clip(np.floor(256 * fractions), 0, 255).astype(np.uint8), full_range


def _voi_lut(header: "FileDataset", values: Floats) -> Floats | None:
    """Apply the first VOI LUT (C.11.2.1.1); return fractions of its range, None without one.

    pydicom's function wraps indices above 255 if the table is of 8 bits.
    """
    items = cast("list[Dataset]", header.get("VOILUTSequence") or [])
    if not items or not items[0].get("LUTDescriptor") or not items[0].get("LUTData"):
        return None
    entries, first, bits = map(int, items[0].LUTDescriptor)
    entries = entries or 1 << 16
    data = items[0].LUTData
    if isinstance(data, bytes):
        order = ">" if header.file_meta.TransferSyntaxUID == BIG_ENDIAN else "<"
        data = np.frombuffer(data, "u1" if len(data) < 2 * entries else f"{order}u2")
    table = np.asarray(data, np.float64)[:entries]
    indices = np.clip(np.rint(values) - first, 0, entries - 1).astype(np.int64)
    fractions: Floats = table[indices] / ((1 << bits) - 1)
    return fractions


def _window(header: "FileDataset", values: Floats) -> Floats | None:
    """Apply the first window (C.11.2.1.2, C.11.2.1.3); return fractions, None without one.

    A window whose width is not allowed is none.
    """
    center, width = (_first(header, f"Window{name}") for name in ("Center", "Width"))
    function = str(header.get("VOILUTFunction", "LINEAR"))
    if center is None or width is None or width < (function == "LINEAR") or width <= 0:
        return None
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR" and width == 1:
        return np.where(values > center - 0.5, 1.0, 0.0)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError("an unknown function of the window")
    return np.clip((values - center) / width + 0.5, 0, 1)


def _first(header: "FileDataset", keyword: str) -> float | None:
    """Return the first number of an element that may have several, None if it is missing."""
    if keyword not in header:
        return None
    value = header[keyword].value
    return float(value[0] if header[keyword].VM > 1 else value)


def _spacing(header: "FileDataset") -> tuple[float, float] | None:
    """Return the horizontal and vertical spacing in mm; DICOM has that of the rows first.

    The calibrated spacing (10.7.1.3) has precedence over that at the detector (C.8.11.4).
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if keyword not in header or header[keyword].VM != 2:
            continue
        vertical, horizontal = map(float, header[keyword].value)
        if 0 < horizontal < np.inf and 0 < vertical < np.inf:
            return horizontal, vertical
    return None
