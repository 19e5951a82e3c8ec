"""Detection of inverted and faint images, which are reported and not changed.

Whether a file was stored as a negative cannot be read from it, so its content decides:

1. Layout. Lungs are darker than the spine and heart between them; in a negative both are
   brighter. Many rotated and cropped films do as well.
2. Ridges. Bones, vessels, tubes and letters are thin and bright. Bright ridges outweigh dark ones
   in a normal film however it is rotated, cropped or bordered; in a negative the dark ones do.
   Borders and shutters are left out.

An image is detected if the layout is a negative's and dark ridges prevail. If bright ridges prevail
slightly, the layout has to be complete: the abdomen and all thirds of the strip between the lungs
are far darker than both lungs.

Detected (`python benchmarks/inversion.py`, 315 real images; all distortions in
docs/lab-notes/preprocessing.md): none of the originals and 309 (98 %) of their negatives, the same
ones as by the lungs alone; 2 of 630 rotated by 90° or 270° (by the lungs alone 437), none of 5,040
with borders, shutters, frames or other exposure, 33 of 1,260 crops to one lung (824).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

INVERTED = 10.0
"""Minimum excess of the lungs over the middle, in grey levels."""

DOUBTFUL = 0.45
"""Maximum log ratio of bright to dark ridges for which a complete layout decides. 90 % of real
images are between 0.07 and 0.45, of their negatives between -0.45 and -0.07 (maximum 0.40)."""

ABDOMEN, STRIP = 40.0, 15.0
"""Minimum excess of the lungs over abdomen and strip in a complete layout, in grey levels."""

FAINT = 5.0
"""Standard deviation in grey levels below which an image is faint (real images: 27 and more)."""

_SIDE = 128
"""Longer side in pixels at which an image is measured, whatever the cache's size."""

_SIGMA = 1.5
"""Scale of the ridges in these pixels: ribs' edges, vessels, tubes."""

_LEAST = 16
"""Minimum side in pixels; smaller images have no remark."""

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def remarks_on(picture: npt.NDArray[np.uint8]) -> list[str]:
    """Return which of "inverted" and "faint" hold.

    Args:
        picture: uint8 (height, width), without padding.
    """
    if min(picture.shape) < _LEAST:
        return []
    small = _reduce(picture)
    if small.std() < FAINT:
        return ["faint"]
    return ["inverted"] if is_inverted(small) else []


def is_inverted(small: Floats) -> bool:
    """Tell whether a picture looks like a negative.

    Args:
        small: float (height, width), grey levels, as `_reduce` returns it.
    """
    right, left, strip, abdomen = _regions(small)
    if (right + left) / 2 - strip.mean() <= INVERTED or min(right, left) <= strip.mean():
        return False
    ridges = _ridges(small)
    if ridges < 0:
        return True
    darker = (right + left) / 2 - abdomen > ABDOMEN and min(right, left) - strip.max() > STRIP
    return ridges < DOUBTFUL and bool(darker)


def _reduce(picture: npt.NDArray[np.uint8]) -> Floats:
    """Average to `_SIDE` pixels on the longer side; smaller pictures stay as they are."""
    image, longer = Image.fromarray(picture), max(picture.shape)
    if longer >= 2 * _SIDE:
        image = image.reduce(longer // _SIDE)
    if max(image.size) > _SIDE:
        scale = _SIDE / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def _regions(small: Floats) -> tuple[float, float, Floats, float]:
    """Return the mean levels of both lungs, of the strip between them and of the abdomen.

    Returns:
        right: right lung of the patient, on the left of the image.
        left: left lung of the patient.
        strip: float (3,), thirds of the strip from top to bottom.
        abdomen: lowest eighth.
    """
    height, width = small.shape
    upper = small[height // 4 : height * 5 // 8]
    right = upper[:, width * 3 // 16 : width * 3 // 8].mean()
    left = upper[:, width * 5 // 8 : width * 13 // 16].mean()
    middle = small[height // 4 : height * 3 // 4, width * 7 // 16 : width * 9 // 16]
    strip = np.array([part.mean() for part in np.array_split(middle, 3)])
    abdomen = small[height * 7 // 8 :, width // 4 : width * 3 // 4].mean()
    return float(right), float(left), strip, float(abdomen)


def _ridges(small: Floats) -> float:
    """Return the log ratio of bright to dark ridges; 0 if the exposed field is too small.

    At a ridge the brightness curves across and hardly along (eigenvalues of the Hessian matrix at
    `_SIGMA`).
    """
    smooth, first, second = _kernels(_SIGMA)
    across, down = _filter(small, second, smooth), _filter(small, smooth, second)
    mixed = _filter(small, first, first)
    half = np.hypot((across - down) / 2, mixed)
    low, high = (across + down) / 2 - half, (across + down) / 2 + half
    bright, dark = np.maximum(-low - np.abs(high), 0), np.maximum(high - np.abs(low), 0)
    field = _field(small)
    if field.mean() < 0.1:
        return 0.0
    least = 1e-4 * small.std()  # a hundredth of a usual mean
    return float(np.log((bright[field].mean() + least) / (dark[field].mean() + least)))


def _kernels(sigma: float) -> tuple[Floats, Floats, Floats]:
    """Return a Gaussian and its first two derivatives; those sum to zero."""
    reach = int(4 * sigma + 0.5)
    x = np.arange(-reach, reach + 1.0)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    smooth /= smooth.sum()
    second = (x**2 / sigma**4 - 1 / sigma**2) * smooth
    return smooth, -x / sigma**2 * smooth, second - second.mean()


def _filter(small: Floats, across: Floats, down: Floats) -> Floats:
    """Filter along both axes, the edge repeated."""
    height, width = small.shape
    reach = len(across) // 2
    padded = np.pad(small, reach, mode="edge")
    rows = sum(weight * padded[:, n : n + width] for n, weight in enumerate(across))
    return np.asarray(sum(weight * rows[n : n + height] for n, weight in enumerate(down)))


def _field(small: Floats) -> Mask:
    """Return the exposed field: without black or white that reaches the edge, by a margin."""
    low, high = small.min(), small.max()
    margin = 0.06 * (high - low)
    outside = _connected(small <= low + margin) | _connected(small >= high - margin)
    for _ in range(int(4 * _SIGMA)):
        outside = _grow(outside)
    inner = np.zeros(small.shape, bool)
    rim = max(small.shape) // 20
    inner[rim : -rim or None, rim : -rim or None] = True
    return inner & ~outside


def _connected(where: Mask) -> Mask:
    """Return the parts that touch the edge."""
    reached = where.copy()
    reached[1:-1, 1:-1] = False
    while True:
        grown = _grow(reached) & where
        if (grown == reached).all():
            return reached
        reached = grown


def _grow(mask: Mask) -> Mask:
    """Return a mask grown by a pixel to all four sides."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
