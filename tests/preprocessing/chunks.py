"""PNGs made chunk by chunk."""

import struct
import zlib

import numpy as np

PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
"""Adam7 (PNG specification 8.2): first column, first row, column step, row step."""


def join_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with a right checksum."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def header(width: int, height: int, bits: int = 8, colour: int = 0, interlaced: int = 0):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)


def interlaced(pixels: np.ndarray) -> bytes:
    """A grey PNG in seven passes, which Pillow cannot write."""
    height, width = pixels.shape
    parts = [pixels[y::down, x::right] for x, y, right, down in PASSES]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    return join_chunks(
        header(width, height, interlaced=1), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    )
