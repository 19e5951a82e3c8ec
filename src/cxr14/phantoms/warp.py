"""Smooth warps: the position in the projections that each px of the frame shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.phantoms.anatomy import PAD, Floats

SIZE: Final = 512  # px per side of the frame
CELLS: Final = 32  # cells per side, in whose middle the bend is known
STRIP: Final = 2**15  # px that are looked up together, few enough for a processor's cache

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Warp:
    """A linear map from px of the frame to px of the CT, and a smooth bend of it.

    Attributes:
        start: (2,) CT position (x, y) of the frame's upper left corner.
        across, down: (2,) change of the CT position per px of the frame.
        bend: (2, CELLS, CELLS) displacement (x, y) in px of the CT.
    """

    start: Doubles
    across: Doubles
    down: Doubles
    bend: Doubles

    def linear(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Return the CT positions (2, ...) of frame positions without the bend."""
        columns, rows = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        axes = zip(self.start, self.across, self.down, strict=True)
        return np.stack([start + columns * dx + rows * dy for start, dx, dy in axes])

    def cells(self) -> Doubles:
        """Return the CT positions (2, CELLS, CELLS) of the cells' middles, with the bend."""
        middles = (np.arange(CELLS) + 0.5) * (SIZE / CELLS)
        return self.linear(middles[None, :], middles[:, None]) + self.bend

    def frame_points(self, points: npt.ArrayLike) -> Doubles:
        """Return where CT positions (n, 2) lie in the frame: (n, 2) px, x and y.

        Solved by iteration, to about a px, as the bend changes slowly.
        """
        target = np.asarray(points, float).T
        (a, c), (b, d) = self.across, self.down
        place = np.full(target.shape, SIZE / 2)
        for _ in range(6):
            at = place[::-1] * (CELLS / SIZE) - 0.5
            bends = [
                ndimage.map_coordinates(axis, at, order=1, mode="nearest") for axis in self.bend
            ]
            x, y = target - self.start[:, None] - bends
            place = np.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)
        return place.T

    def anchors(self, size: int) -> Floats:
        """Return the padded layers' positions (2, 2 * CELLS, size), for some rows of a frame."""
        rows = 2 * CELLS
        column = (np.arange(size) + 0.5) * (SIZE / size)
        row = (np.arange(rows) + 0.5) * (SIZE / rows)
        places = self.linear(column[None, :], row[:, None]) + PAD - 0.5  # px counted from middles
        for place, bend in zip(places, self.bend.astype(np.float32), strict=True):
            place += Image.fromarray(bend).resize((size, rows), Image.Resampling.BICUBIC)
        return places.astype(np.float32)


def warped(layers: Sequence[Floats], warp: Warp, size: int = SIZE) -> list[Floats]:
    """Warp layers into the frame by bilinear interpolation.

    Args:
        layers: float32 of one shape, padded by PAD; beyond them their border is repeated.
        warp: the positions.
        size: px per side to compute; layers without fine structure need half of SIZE.

    Returns:
        One float32 (size, size) per layer.
    """
    height, width = layers[0].shape
    flat = [np.ravel(layer) for layer in layers]
    out = [np.empty((size, size), np.float32) for _ in layers]
    step = STRIP // size
    anchors = warp.anchors(size)
    for top in range(0, size, step):
        rows = slice(top, top + step)
        x, y = _rows(anchors, rows, size)
        np.clip(x, 0, width - 1.01, out=x)
        np.clip(y, 0, height - 1.01, out=y)
        column, row = x.astype(np.int32), y.astype(np.int32)
        x -= column
        y -= row
        row *= width
        row += column
        index = row.astype(np.intp)
        for values, target in zip(flat, out, strict=True):
            target[rows] = _between(values, index, width, x, y)
    return out


def _rows(anchors: Floats, rows: slice, size: int) -> Floats:
    """Interpolate between a warp's anchors: positions (2, rows, size)."""
    count = anchors.shape[1]
    place = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (count / size) - 0.5
    first = np.clip(place.astype(np.int32), 0, count - 2)
    share = (place - first).astype(np.float32)[:, None]
    out = anchors[:, first + 1]
    before = anchors[:, first]
    out -= before
    out *= share
    out += before
    return out


def enlarged(layer: Floats) -> Floats:
    """Enlarge a layer to (SIZE, SIZE), read-only, by bilinear interpolation."""
    return np.asarray(Image.fromarray(layer).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _between(
    values: Floats, index: npt.NDArray[np.intp], width: int, right: Floats, below: Floats
) -> Floats:
    """Interpolate between the four px from `index` on, by the shares of the later ones."""
    lines = []
    for start in (0, width):
        first = values[start:].take(index)
        second = values[start + 1 :].take(index)
        second -= first
        second *= right
        first += second
        lines.append(first)
    upper, lower = lines
    lower -= upper
    lower *= below
    upper += lower
    return upper
