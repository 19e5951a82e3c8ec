"""Pictures that look wrong: inverted, or without contrast. They are named, never altered.

Whether a file was stored as a negative cannot be read from a PNG. The rule looks for lungs: they
are darker than the spine and heart between them, in a negative they are brighter. Of the 315 real
images at hand none is named (the highest difference is +0.3), of their negatives 98 % are. The
more obvious rule, a border brighter than the centre, names 12 % of them: arms, shutters and
collimated fields are bright at the border.
"""

import numpy as np
import numpy.typing as npt

INVERTED = 10.0
"""Grey levels by which both lungs together have to be brighter than the middle."""

FAINT = 5.0
"""Standard deviation in grey levels below which a picture is empty (real images: 27 and more);
so are 16-bit files that use their lower twelve bits only."""

_LEAST = 16
"""Pixels per side below which nothing is said."""


def remarks_on(picture: npt.NDArray[np.uint8]) -> list[str]:
    """Return which of "inverted" and "faint" hold.

    Args:
        picture: uint8 (height, width), without padding.
    """
    if min(picture.shape) < _LEAST:
        return []
    if picture.std() < FAINT:
        return ["faint"]
    return ["inverted"] if _lungs_over_middle(picture) > INVERTED else []


def _lungs_over_middle(picture: npt.NDArray[np.uint8]) -> float:
    """Return how much brighter the lung fields are than the strip between them, in grey levels."""
    height, width = picture.shape
    upper = picture[height // 4 : height * 5 // 8]
    right = upper[:, width * 3 // 16 : width * 3 // 8]  # the patient's right is on the left
    left = upper[:, width * 5 // 8 : width * 13 // 16]
    middle = picture[height // 4 : height * 3 // 4, width * 7 // 16 : width * 9 // 16]
    return float((right.mean() + left.mean()) / 2 - middle.mean())
