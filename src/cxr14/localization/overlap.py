"""How far detected and drawn boxes agree: IoU and IoBB (NumPy only).

A box is x, y, width, height in continuous pixels: it covers x to x + width.
"""

import numpy as np
import numpy.typing as npt

BOX = ["x", "y", "width", "height"]  # the columns of a box in tables
Boxes = npt.NDArray[np.float64]  # (…, 4): x, y, width, height


def intersection(first: Boxes, second: Boxes) -> npt.NDArray[np.float64]:
    """Area shared by each of first (N, 4) with each of second (M, 4): (N, M), square pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])  # (N, M, 2)
    high = np.minimum(
        first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:]
    )
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=-1))


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Area of each of (N, 4): (N,), square pixels."""
    return np.asarray(boxes[:, 2] * boxes[:, 3])


def iobb(detected: Boxes, drawn: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over the **detected** box (Wang et al. 2017, section 4.2).

    Args:
        detected: (N, 4), each with an area.
        drawn: (M, 4).

    Returns:
        (N, M) in [0, 1]: 1 where the detected box lies inside the drawn one.
    """
    return np.minimum(intersection(detected, drawn) / area(detected)[:, None], 1.0)


def iou(detected: Boxes, drawn: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of (N, 4) and (M, 4), each with an area: (N, M) in [0, 1]."""
    shared = intersection(detected, drawn)
    united = area(detected)[:, None] + area(drawn)[None, :] - shared
    return np.minimum(shared / united, 1.0)
