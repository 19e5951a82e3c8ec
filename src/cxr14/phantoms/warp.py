"""Smooth warps from the frame of a phantom to the projections of the CT.

The *frame* is the square of SIZE × SIZE px in which a phantom is put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.phantoms.anatomy import PAD
from cxr14.phantoms.textures import Floats

SIZE: Final = 512  # px per side of the frame
CELLS: Final = 32  # cells per side of the displacement grid
BLOCK_PX: Final = 2**15  # px that are interpolated together, few enough for a processor's cache

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Warp:
    """A linear map from px of the frame to px of the CT, plus a smooth displacement.

    Attributes:
        origin: (2,) CT position (x, y) of the frame's upper left corner.
        step_x, step_y: (2,) change of the CT position per px of the frame to the right and down.
        displacement: (2, CELLS, CELLS) in px of the CT (x, y), at the centres of the cells.
    """

    origin: Doubles
    step_x: Doubles
    step_y: Doubles
    displacement: Doubles

    def linear(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Return the CT positions (2, ...) of frame positions without the displacement."""
        columns, rows = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        axes = zip(self.origin, self.step_x, self.step_y, strict=True)
        return np.stack([origin + columns * dx + rows * dy for origin, dx, dy in axes])

    def cell_centres(self) -> Doubles:
        """Return the CT positions (2, CELLS, CELLS) of the cells' centres."""
        centres = (np.arange(CELLS) + 0.5) * (SIZE / CELLS)
        return self.linear(centres[None, :], centres[:, None]) + self.displacement

    def to_frame(self, points: npt.ArrayLike) -> Doubles:
        """Return the frame positions (n, 2) in px of CT positions (n, 2), each x and y.

        Solved by fixed-point iteration, to about a px, as the displacement changes slowly.
        """
        target = np.asarray(points, float).T
        (a, c), (b, d) = self.step_x, self.step_y
        position = np.full(target.shape, SIZE / 2)
        for _ in range(6):
            cell = position[::-1] * (CELLS / SIZE) - 0.5
            displacement = [
                ndimage.map_coordinates(axis, cell, order=1, mode="nearest")
                for axis in self.displacement
            ]
            x, y = target - self.origin[:, None] - displacement
            position = np.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)
        return position.T

    def anchor_rows(self, size: int) -> Floats:
        """Return the positions in the padded layers of 2 · CELLS rows of a frame.

        Args:
            size: px per row.

        Returns:
            float32 (2, 2 · CELLS, size): x and y, where the first px has position 0.
        """
        rows = 2 * CELLS
        column = (np.arange(size) + 0.5) * (SIZE / size)
        row = (np.arange(rows) + 0.5) * (SIZE / rows)
        positions = self.linear(column[None, :], row[:, None]) + PAD - 0.5
        for position, axis in zip(positions, self.displacement.astype(np.float32), strict=True):
            position += Image.fromarray(axis).resize((size, rows), Image.Resampling.BICUBIC)
        return positions.astype(np.float32)


def warp_layers(layers: Sequence[Floats], warp: Warp, size: int = SIZE) -> list[Floats]:
    """Warp layers into the frame by bilinear interpolation.

    Args:
        layers: float32 of one shape, padded by PAD; their border is repeated beyond them.
        warp: the map from the frame to the layers.
        size: px per side of the output; half of SIZE suffices for layers without fine structure.

    Returns:
        One float32 (size, size) per layer.
    """
    height, width = layers[0].shape
    flat_layers = [np.ravel(layer) for layer in layers]
    outputs = [np.empty((size, size), np.float32) for _ in layers]
    block_rows = BLOCK_PX // size
    anchors = warp.anchor_rows(size)
    for top in range(0, size, block_rows):
        rows = slice(top, top + block_rows)
        x, y = _interpolate_rows(anchors, rows, size)
        np.clip(x, 0, width - 1.01, out=x)
        np.clip(y, 0, height - 1.01, out=y)
        column, row = x.astype(np.int32), y.astype(np.int32)
        x -= column
        y -= row
        row *= width
        row += column
        index = row.astype(np.intp)
        for flat, output in zip(flat_layers, outputs, strict=True):
            output[rows] = _bilinear(flat, index, width, x, y)
    return outputs


def _interpolate_rows(anchors: Floats, rows: slice, size: int) -> Floats:
    """Interpolate the positions (2, rows, size) of some rows linearly between the anchor rows."""
    count = anchors.shape[1]
    anchor = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (count / size) - 0.5
    upper_index = np.clip(anchor.astype(np.int32), 0, count - 2)
    weight = (anchor - upper_index).astype(np.float32)[:, None]
    positions = anchors[:, upper_index + 1]
    upper = anchors[:, upper_index]
    positions -= upper
    positions *= weight
    positions += upper
    return positions


def _bilinear(
    flat: Floats, index: npt.NDArray[np.intp], width: int, weight_x: Floats, weight_y: Floats
) -> Floats:
    """Interpolate a flattened layer between the four px right of and below an index.

    Args:
        flat: the layer, row by row.
        index: of the upper left px.
        width: of the layer.
        weight_x: weights, 0 to 1, of the right px.
        weight_y: same, of the lower px.
    """
    lines = []
    for offset in (0, width):
        left = flat[offset:].take(index)
        right = flat[offset + 1 :].take(index)
        right -= left
        right *= weight_x
        left += right
        lines.append(left)
    upper, lower = lines
    lower -= upper
    lower *= weight_y
    upper += lower
    return upper


def upsample(layer: Floats) -> Floats:
    """Enlarge a layer to (SIZE, SIZE), read-only, by bilinear interpolation."""
    return np.asarray(Image.fromarray(layer).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
