"""Checks that a PNG or JPEG file is complete, before it is decoded.

Decoders fill missing data with black or grey: Pillow accepts missing rows, kornia-rs a wrong Adler
checksum. Of a PNG every CRC, the end and the number of bytes of pixel data are checked; of a JPEG,
which has no checksums, the segments, the scans and the decoder's warnings.
"""

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import kornia_rs.io
import numpy as np
from isal import isal_zlib
from PIL import Image

from cxr14.errors import FULL, UserError, full_disk


class ImageError(UserError):
    """Error of an image that cannot be used.

    Attributes:
        issue: damaged, unreadable, unsupported DICOM, too large, too small, gone, or not as listed.
    """

    def __init__(self, sentence: str, issue: str = "unreadable") -> None:
        super().__init__(sentence)
        self.issue = issue


def not_readable(name: str, reason: str, issue: str = "damaged") -> ImageError:
    """Return the error of a file that is no complete image."""
    return ImageError(f"{name}: not a readable image ({reason})", issue)


MAX_PIXELS = 2**25
"""Maximum pixels of an image: 33.5 million, twice the largest chest detectors (43 cm at 0.1 mm)."""


def check_size(width: int, height: int, name: str) -> None:
    """Refuse an image that has too many pixels by its header.

    Raises:
        ImageError: more than MAX_PIXELS.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: claims {width}×{height} pixels; at most {MAX_PIXELS} are decoded", "too large"
        )


@contextmanager
def naming_disk(path: Path) -> Iterator[None]:
    """Name the file system if it is full; the error of a write by descriptor names no file.

    Raises:
        UserError: there is no space for `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(f"{full_disk(path)} ({path})") from None


SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Channels, and the allowed bits of each, by colour type (PNG specification, 11.2.2)."""

ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Passes of an interlaced PNG (8.2): first column, first row, column step, row step."""

_ZLIB_ERROR = cast(Any, isal_zlib).error

_STEP = 2**20
"""Bytes inflated at a time."""

_METADATA = (b"xml:com.adobe.xmp", b"raw profile type")
"""Start of the keyword of text chunks that may hold an orientation."""


@dataclass(frozen=True)
class PngHeader:
    """IHDR: size in pixels, bits per channel, colour type, interlacing."""

    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool

    @property
    def data_bytes(self) -> int:
        """Length of the inflated pixel data, with a filter byte per row."""
        passes = ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, right, down in passes:
            columns, rows = -(-(self.width - x) // right), -(-(self.height - y) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * self.bits * _CHANNELS[self.colour] + 7) // 8)
        return total


@dataclass(frozen=True)
class PngFacts:
    """Properties of a complete PNG.

    Attributes:
        frames: number of frames of an animation, else 1.
        transparent: whether there is a tRNS chunk.
        may_turn: whether there is metadata that may hold an orientation.
        trailing: whether data follows the end of the file or of the pixel data.
    """

    frames: int
    transparent: bool
    may_turn: bool
    trailing: bool


def read_header(content: bytes, name: str) -> PngHeader | None:
    """Read IHDR; None if this is no PNG.

    Raises:
        ImageError: a PNG by its signature, without a valid header.
    """
    if not content.startswith(SIGNATURE):
        return None
    if len(content) < 33 or content[8:16] != b"\0\0\0\rIHDR":
        raise not_readable(name, "the PNG's header is missing or cut")
    width, height, bits, colour, compression, filtering, interlacing = _HEADER.unpack_from(
        content, 16
    )
    valid = bits in _BITS.get(colour, ()) and width > 0 and height > 0
    if not valid or compression or filtering or interlacing > 1:
        raise not_readable(name, "the PNG's header has values that no PNG may have")
    return PngHeader(width, height, bits, colour, bool(interlacing))


def check_png(content: bytes, header: PngHeader, name: str) -> PngFacts:
    """Check that a PNG is complete and intact.

    Raises:
        ImageError: a chunk is truncated or damaged, the end is missing, or the pixel data is
            damaged or not of this size.
    """
    kinds: list[bytes] = []
    data: list[memoryview] = []
    frames, may_turn, end = 1, False, len(content)
    for kind, body, end in _chunks(content, name):  # noqa: B007  # the last one's is used
        if kind == b"IDAT":
            if data and kinds[-1] != b"IDAT":
                raise not_readable(name, "other chunks interrupt the PNG's pixel data")
            data.append(body)
        elif kind == b"acTL" and len(body) == 8:
            frames = max(1, int.from_bytes(body[:4], "big"))
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            may_turn |= bytes(body[:20]).lower().startswith(_METADATA)
        kinds.append(kind)
    if header.colour == 3 and b"PLTE" not in kinds:
        raise not_readable(name, "the PNG's palette is missing")
    spare = _check_data(data, header, name)
    return PngFacts(
        frames, b"tRNS" in kinds, may_turn or b"eXIf" in kinds, spare or end < len(content)
    )


def _chunks(content: bytes, name: str) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield type, data and end of every chunk up to IEND.

    A wrong CRC is an error in ancillary chunks too, which may hold an orientation.
    """
    view, start = memoryview(content), len(SIGNATURE)
    while True:
        if start + 12 > len(content):
            raise not_readable(name, "the PNG breaks off before its end (no IEND chunk)")
        length = int.from_bytes(view[start : start + 4], "big")
        end = start + 12 + length
        kind = bytes(view[start + 4 : start + 8])
        if not (kind.isalpha() and kind.isascii()):
            raise not_readable(name, f"no valid PNG chunk at byte {start}")
        if end > len(content):
            raise not_readable(name, f"the PNG breaks off in its {kind.decode()} chunk")
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise not_readable(
                name, f"the PNG's {kind.decode()} chunk at byte {start} is damaged (wrong CRC)"
            )
        yield kind, view[start + 8 : end - 4], end
        if kind == b"IEND":
            return
        start = end


def _check_data(parts: list[memoryview], header: PngHeader, name: str) -> bool:
    """Check the size of the inflated pixel data; return whether data follows its end."""
    expected = header.data_bytes
    try:
        size, finished, spare = _inflate(parts, expected)
    except _ZLIB_ERROR as error:
        raise not_readable(name, f"the PNG's pixel data is damaged ({error})") from None
    if size > expected:
        raise not_readable(
            name, f"the PNG holds more pixel data than {header.width}×{header.height} pixels need"
        )
    if size < expected:
        raise not_readable(
            name, f"{expected - size} of {expected} bytes of the PNG's pixel data are missing"
        )
    if not finished:
        raise not_readable(name, "the checksum of the PNG's pixel data is missing")
    return spare


def _inflate(parts: Iterable[memoryview], expected: int) -> tuple[int, bool, bool]:
    """Inflate at most one step more than expected.

    Returns:
        size: inflated bytes.
        finished: whether the stream ended, with a right Adler checksum.
        spare: whether data follows its end.
    """
    stream, size, spare = isal_zlib.decompressobj(), 0, False
    for part in (*parts, memoryview(b"")):
        left: bytes | memoryview = part
        while True:
            if stream.eof:
                spare |= len(left) > 0
                break
            piece = len(stream.decompress(left, _STEP))
            size += piece
            if size > expected:
                return size, False, spare
            left = bytes(stream.unconsumed_tail)
            if stream.eof:
                left = bytes(stream.unused_data)
            elif not left and piece < _STEP:
                break
    return size, bool(stream.eof), spare


# JPEG. libjpeg fills missing data with grey and warns, and Pillow ignores the warning. TurboJPEG
# (kornia-rs) raises it as an error, but does not read CMYK: such a file is decoded twice, with
# different data after each scan. A complete scan is decoded without that data: the pixels agree.

_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""The marker that ends a scan: neither a stuffed byte nor a restart marker."""

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_PADDINGS = bytes(64), 64 * b"\xb7"
"""The first bits differ, for a scan that lacks a single bit."""

_DAMAGED = "the JPEG's data is damaged or incomplete"

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_COEFFICIENTS = 64


def check_jpeg(content: bytes, mode: str, name: str) -> int:
    """Check that a JPEG is complete; return where it ends.

    Args:
        content: bytes of the file.
        mode: Pillow's name of the pixel format.
        name: name of the image in errors.

    Raises:
        ImageError: the file is truncated, scans are missing, or data is damaged.
    """
    missing: dict[int, set[int]] = {}  # by component: coefficients that no scan completed
    end = 0
    scans: list[int] = []  # where each ends
    for marker, body, end in jpeg_segments(content, name):
        if marker in _FRAMES:
            missing |= {component: set(range(_COEFFICIENTS)) for component in body[6::3]}
        if marker == _SCAN:
            scans.append(end)
        if marker == _SCAN and len(body) >= 6:
            first, last, precision = body[-3:]
            for component in body[1:-3:2]:
                if precision & 15 == 0:
                    missing.get(component, set()).difference_update(range(first, last + 1))
    if any(missing.values()):
        raise not_readable(name, "scans of the JPEG are missing")
    if mode == "CMYK":
        _check_cmyk(content[:end], scans, name)
    else:
        try:
            kornia_rs.io.decode_image_jpegturbo(content[:end], "mono")
        except Exception:  # kornia-rs raises nothing narrower
            raise not_readable(name, _DAMAGED) from None
    return end


def _check_cmyk(content: bytes, scans: list[int], name: str) -> None:
    """Decode a CMYK JPEG with two kinds of data after each scan, and compare.

    Raises:
        ImageError: a scan is incomplete.
    """
    digests = set()
    for padding in _PADDINGS:
        padded, start = b"", 0
        for end in scans:
            last = _RESTART.findall(content[start:end])[-1:]
            following = (last[0][1] + 1) & 7 if last else 0
            restart = bytes([0xFF, 0xD0 + following])  # where the lost part began with one
            padded += content[start:end] + padding + restart + padding
            start = end
        try:
            with Image.open(io.BytesIO(padded + content[start:]), formats=("JPEG",)) as file:
                digests.add(hashlib.sha256(np.asarray(file).data).digest())
        except MemoryError:
            raise
        except Exception:  # Pillow's errors are of many types
            raise not_readable(name, _DAMAGED) from None
    if len(digests) > 1:
        raise not_readable(name, _DAMAGED)


def jpeg_segments(content: bytes, name: str) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, parameters and end of every segment, the end marker last."""
    position = 2
    while position + 2 <= len(content):
        if content[position] != 0xFF:
            raise not_readable(name, f"no valid JPEG marker at byte {position}")
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker == _END:
            yield marker, b"", position + 2
            return
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without parameters
            position += 2
        else:
            length = int.from_bytes(content[position + 2 : position + 4], "big")
            body = content[position + 4 : position + 2 + length]
            position += 2 + length
            if marker == _SCAN:
                after = _AFTER_SCAN.search(content, position)
                position = after.start() if after else len(content)
            yield marker, body, position
    raise not_readable(name, "the JPEG breaks off before its end marker")
