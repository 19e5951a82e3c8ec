"""Check that a JPEG is complete, as far as a format without checksums allows.

libjpeg fills what is missing with grey and gives a warning, which Pillow drops. TurboJPEG, in
kornia-rs, makes an error of every warning. It reads no CMYK; such a file is decoded twice, with
other data behind each scan: a decoder that has all pixels never reads it, so the pixels are the
same. A flipped bit that still decodes cannot be noticed in any JPEG.
"""

import hashlib
import io
import re
from collections.abc import Iterator

import kornia_rs.io
import numpy as np
from PIL import Image

from cxr14.data.preprocessing.faults import not_readable

_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""The marker that ends a scan: neither a stuffed byte nor a restart marker."""

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_PADDINGS = bytes(64), 64 * b"\xb7"
"""They differ in the first bit, for a scan that lacks no more than one."""

_DAMAGED = "the JPEG's data is damaged or incomplete"

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_COEFFICIENTS = 64


def check_jpeg(content: bytes, mode: str, name: str) -> int:
    """Check that a JPEG is complete; return where it ends.

    Args:
        content: bytes of the file.
        mode: Pillow's name of its pixel format.
        name: for the error.

    Raises:
        ImageError: it breaks off, scans are missing, or its decoder finds damaged data.
    """
    missing: dict[int, set[int]] = {}  # coefficients of a component that no scan completed yet
    end = 0
    scans: list[int] = []  # where each ends
    for marker, body, end in _segments(content, name):
        if marker in _FRAMES:
            missing |= {one: set(range(_COEFFICIENTS)) for one in body[6::3]}
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
        except Exception:  # it raises nothing narrower, and gives no reason
            raise not_readable(name, _DAMAGED) from None
    return end


def _check_cmyk(content: bytes, scans: list[int], name: str) -> None:
    """Decode a CMYK JPEG with two kinds of data behind each scan, and compare.

    Raises:
        ImageError: a scan holds less than its pixels need.
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


def _segments(content: bytes, name: str) -> Iterator[tuple[int, bytes, int]]:
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
