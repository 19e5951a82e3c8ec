"""The input check: whether an image is like those that the networks were trained on.

Three distances of 32×32 thumbnails from those of *train*: within its principal components
(Hotelling's T², the squared Mahalanobis distance), from them (Q, the squared residual), and the
lack of correlation R with the mean thumbnail. Jackson and Mudholkar (1979, "Control procedures for
residuals associated with principal component analysis", Technometrics 21) control a process by T²
and Q. Both are small for an image without structure, such as noise; R is not. Their limits are
quantiles on *validation*, not those of the normal distribution, which grey levels do not follow.

The check is cheap and transparent, and finds gross faults: other objects, projections, turned or
inverted films. It says nothing on whether the networks are right on an image that passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.errors import UserError
from cxr14.io import check_file, replacing, unusable

SIDE = 32
"""Pixels per side of a thumbnail."""

COMPONENTS = 32
"""Maximum number of principal components: 140 kB on disk."""

IMAGES_PER_COMPONENT = 10
"""Minimum, so that the variances of the components are estimated and not fitted."""

REFUSED = 0.01
"""Share of the validation images that the limit refuses."""

LEAST = 1e-9
"""Minimum variance and limit, so that equal images give no division by zero."""

LARGEST_FIT = 20_000
"""Maximum number of images for the components; more change little."""

CHUNK = 512

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class InputCheck:
    """Principal components of the thumbnails of train, and limits of the distances.

    Attributes:
        mean: float32 (D,), D = SIDE², grey levels 0–1.
        components: float32 (K, D), orthonormal rows.
        variances: float32 (K,), of train along the components.
        limits: float32 (3,), T², Q and R at distance 1.
    """

    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]
    variances: npt.NDArray[np.float32]
    limits: npt.NDArray[np.float32]

    @classmethod
    def fit(
        cls, images: Images, train: Rows, validation: Rows, refused: float = REFUSED
    ) -> "InputCheck":
        """Fit the components on train, and the limit on validation.

        Each of T², Q and R is divided by its quantile, so that all refuse about equally many;
        then all by the quantile of the largest, so that together they refuse the wanted share.

        Args:
            images: uint8 (N, S, S), as in the cache, which may be mapped.
            train: rows of at least one image.
            validation: rows; without any, the limit is chosen on train.
            refused: share of the validation images beyond the limit, in [0, 1).

        Raises:
            UserError: there is no image of train.
        """
        if not len(train):
            raise UserError("the input check needs images of train, and the split has none")
        chosen = np.linspace(0, len(train) - 1, min(len(train), LARGEST_FIT)).astype(np.int64)
        flat = np.concatenate([thumbnails(images[part]) for part in chunks(train[chosen])])
        mean = flat.mean(axis=0)
        covariance = (flat - mean).T @ (flat - mean) / max(1, len(flat) - 1)
        variances, vectors = np.linalg.eigh(covariance)  # rising
        count = max(1, min(COMPONENTS, len(flat) // IMAGES_PER_COMPONENT))
        variances, components = variances[::-1][:count].clip(LEAST), vectors[:, ::-1][:, :count].T
        mean, components, variances = (
            array.astype(np.float32) for array in (mean, components, variances)
        )
        raw = cls(mean, components, variances, np.ones(3, np.float32))
        held_out = validation if len(validation) else train
        ratios = np.concatenate([raw.statistics(images[part]) for part in chunks(held_out)])
        each = np.quantile(ratios, 1 - refused, axis=0).clip(LEAST)
        both = np.quantile((ratios / each).max(axis=1), 1 - refused).clip(LEAST)
        return cls(mean, components, variances, (each * both).astype(np.float32))

    def statistics(self, images: Images) -> Floats:
        """Return T², Q and R of N images, as multiples of their limits: (N, 3)."""
        flat = thumbnails(images)
        centred = flat - self.mean
        scores = centred @ self.components.T.astype(np.float64)
        within = np.square(scores) @ (1 / self.variances.astype(np.float64))
        outside = np.square(centred - scores @ self.components).sum(axis=1)
        lack = 1 - _correlations(flat, self.mean.astype(np.float64))
        return np.asarray(np.stack([within, outside, lack], axis=1) / self.limits)

    def distance(self, images: Images) -> Floats:
        """Return the distance of images from those of train; more than 1 is beyond the limit.

        Args:
            images: uint8 (N, S, S), as in the cache, of any S.

        Returns:
            (N,), the largest of √T², √Q and √R, each as a multiple of its limit.
        """
        return np.asarray(np.sqrt(self.statistics(images).max(axis=1)))

    def save(self, path: str | Path) -> None:
        """Write input_check.npz; equal checks give equal bytes."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "InputCheck":
        """Read input_check.npz.

        Raises:
            UserError: it is missing or damaged.
        """
        check_file(path)
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                check = cls(*(arrays[name] for name in cls.__dataclass_fields__))
            shapes = [array.shape for array in vars(check).values()]
        except Exception as error:  # NumPy's errors for damaged archives are of many types
            raise unusable(path, f"is damaged: {type(error).__name__}") from None
        count = len(check.variances)
        if shapes != [(SIDE**2,), (count, SIDE**2), (count,), (3,)]:
            raise unusable(path, f"is damaged: its arrays are {shapes}")
        return check


def thumbnails(images: Images) -> Floats:
    """Average images uint8 (N, S, S) to thumbnails in 0–1, float64 (N, SIDE²)."""
    small = [_thumbnail(image) for image in images]
    return np.asarray(small, np.float64).reshape(len(images), SIDE**2) / 255


def _thumbnail(image: Images) -> npt.NDArray[np.float32]:
    grey = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def _correlations(flat: Floats, mean: Floats) -> Floats:
    """Return Pearson's correlation of N thumbnails with the mean one; 0 for a constant one."""
    centred, mean = flat - flat.mean(axis=1, keepdims=True), mean - mean.mean()
    norms = np.linalg.norm(centred, axis=1) * np.linalg.norm(mean)
    cosines = np.divide(centred @ mean, norms, out=np.zeros(len(flat)), where=norms > 1e-9)
    return np.asarray(cosines)


def chunks(rows: Rows) -> Iterator[Rows]:
    """Cut rows, so that a mapped cache is never in memory as a whole."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
