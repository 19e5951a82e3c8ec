"""From a heatmap to boxes in the pixels of the shipped image (NumPy and SciPy only)."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.localization.overlap import Boxes

TOUCHING = np.ones((3, 3), np.int8)  # 8-connected: a diagonal neighbour belongs to the region
Heat = npt.NDArray[np.float32]


def scaled_to_255(maps: Heat) -> Heat:
    """Scale each map (..., h, w) to 0–255 by its own minimum and maximum.

    A constant map becomes 0 everywhere, so no threshold finds a region in it.
    """
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    share = np.divide(maps - low, span, out=np.zeros_like(maps, np.float32), where=span > 0)
    return np.asarray(share * 255, np.float32)


def hot_boxes(heat: Heat, threshold: float) -> tuple[Boxes, npt.NDArray[np.float64]]:
    """Box each isolated region of a heatmap above a threshold.

    Args:
        heat: (h, w), 0–255.
        threshold: a pixel is hot if its heat is **above** this.

    Returns:
        Boxes (K, 4) in heatmap pixels, tight around each 8-connected region, from top to
        bottom, and the highest heat inside each region (K,), 0–255.
    """
    regions, count = ndimage.label(heat > threshold, structure=TOUCHING)
    found = ndimage.find_objects(regions, count)
    boxes = [
        (across.start, down.start, across.stop - across.start, down.stop - down.start)
        for down, across in found
    ]
    # ndimage.maximum would sort all pixels of the map.
    scores = [heat[place][regions[place] == number].max() for number, place in enumerate(found, 1)]
    return np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64)


def to_source(boxes: Boxes, scale: float, offset_x: float, offset_y: float) -> Boxes:
    """Map boxes (K, 4) of the cached image to pixels of the shipped image.

    The inverse of ``x_cache = x_source × scale + offset``. Not clipped: a region in the padding
    of a non-square image lies outside that image and counts as the miss it is.
    """
    return (boxes - [offset_x, offset_y, 0, 0]) / scale


def to_cache(boxes: Boxes, scale: float, offset_x: float, offset_y: float) -> Boxes:
    """Map boxes (K, 4) of the shipped image to pixels of the cached image."""
    return boxes * scale + [offset_x, offset_y, 0, 0]
