"""Reasons against an image, and how many images are refused for them.

A file is refused where its header, its remarks or the input check say that it is no frontal
radiograph of the chest. A refusal is an argument, not a proof, so a user can override it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr14.preprocessing.decode import Shrunk
from cxr14.preprocessing.photometry import remarks_on
from cxr14.serving.input_check import Images, InputCheck, Rows, chunks

SMALLEST = 64
"""Minimum side of a file in pixels. Thumbnails of a set are larger; icons are smaller."""

LONGEST = 2.0
"""Maximum ratio of the longer to the shorter side; of a chest film it is at most 1.5."""


def refusals(shrunk: Shrunk, distance: float, faults: Sequence[str] = ()) -> list[str]:
    """List the reasons against an image, in words; empty if there are none.

    Args:
        shrunk: the decoded image.
        distance: of InputCheck.distance, 1 is the limit; NaN if it is not known.
        faults: of :func:`cxr14.serving.files.faults_of`.
    """
    reasons = {
        "blank: hardly any contrast": "faint" in shrunk.remarks,
        "looks like a negative: lungs bright, bones dark": "inverted" in shrunk.remarks,
        f"unlike the images of train: at {distance:.2f} times the limit": distance > 1,
    }
    return [*faults, *(reason for reason, holds in reasons.items() if holds)]


def size_faults(width: int, height: int) -> list[str]:
    """List the reasons against a file of these pixels; those of the cache are shrunk already."""
    ratio = max(width, height) / min(width, height)
    reasons = {
        f"tiny: {width}×{height} pixels; a side has at least {SMALLEST}": min(width, height)
        < SMALLEST,
        f"{width}×{height} pixels: a side is {ratio:.1f} times the other": ratio > LONGEST,
    }
    return [reason for reason, holds in reasons.items() if holds]


def as_shrunk(pixels: npt.NDArray[np.uint8]) -> Shrunk:
    """Describe an array (S, S) as a file of these pixels."""
    side = len(pixels)
    return Shrunk(pixels, "L", tuple(remarks_on(pixels)), side, side, 1.0, 0.0, 0.0)


def refused(check: InputCheck, images: Images) -> npt.NDArray[np.bool_]:
    """Return whether each of N cached images (N, S, S) is refused, by distance or remarks: (N,)."""
    distances = check.distance(images)
    reasons = [
        refusals(as_shrunk(pixels), float(distance))
        for pixels, distance in zip(images, distances, strict=True)
    ]
    return np.array([bool(of_image) for of_image in reasons], bool)


def rate(check: InputCheck, images: Images, rows: Rows) -> dict[str, Any]:
    """Count the refused ones of some images, and their share with its exact 95 % interval.

    The interval (Clopper and Pearson) takes images as independent; a patient may have several.
    """
    parts = [refused(check, images[part]) for part in chunks(rows)]
    flags = np.concatenate([np.zeros(0, bool), *parts])
    counts = {"images": len(flags), "refused": int(flags.sum())}
    from scipy.stats import binomtest  # takes half a second to import

    if not len(flags):
        return counts | {"share": None, "low": None, "high": None}
    interval = binomtest(counts["refused"], len(flags)).proportion_ci()
    return counts | {"share": flags.mean(), "low": interval.low, "high": interval.high}


def rates(
    check: InputCheck,
    images: Images,
    rows: Mapping[str, Rows],
    negatives: Iterable[tuple[str, Images]],
) -> dict[str, Any]:
    """Return the content of metrics/input_check.json.

    Args:
        check: fitted on train and validation.
        images: the cache.
        rows: of val and test.
        negatives: see :func:`cxr14.serving.negatives.make_negatives`.
    """
    false_refusals = {name: rate(check, images, rows[name]) for name in ("val", "test")}
    detected = {kind: rate(check, made, np.arange(len(made))) for kind, made in negatives}
    counts = {"components": len(check.variances)}
    return counts | {"false_refusals": false_refusals, "detected": detected}
