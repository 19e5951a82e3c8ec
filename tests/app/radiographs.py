"""Drawn radiographs."""

import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.datasets.pictures import encode

COUNT, SIDE = 40, 64


def pixels_of(number: int) -> npt.NDArray[np.uint8]:
    """Two dark lungs in a bright chest, with noise; each number gives another one."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    chest = 170 * np.exp(-(((x - 0.5) / 0.4) ** 4))
    for centre in (0.3, 0.7):
        chest -= 110 * np.exp(-(((x - centre) / 0.13) ** 2) - ((y - 0.45) / 0.28) ** 2)
    return np.uint8(np.clip(chest + rng.normal(30, 12, chest.shape), 0, 255))


def file_of(number: int) -> bytes:
    """The same as a PNG."""
    return encode(Image.fromarray(pixels_of(number)))


def bomb() -> bytes:
    """A whole PNG of 20,000 × 20,000 pixels in 50 kB."""
    side = 20_000
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes((1 + side // 8) * side)),
        b"IEND": b"",
    }
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
