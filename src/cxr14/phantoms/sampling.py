"""Sampling of the records of phantoms: many images of rare findings, few associations of labels.

A sample of the images with the most findings has associated labels. A network can then predict a
finding from the other findings, the view or the sex, without the finding itself. Logistic
regression on these reached a macro AUROC of .76. So each image is chosen such that findings, view,
sex and age are as independent of one another as the records allow.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import LABEL_COLUMNS

IMAGES_PER_PATIENT: Final = 3
SCARCE_SHARE: Final = 0.1
"""All images of a finding are chosen if they are fewer than this share of the sample (Hernia: 227
images)."""
CANDIDATES: Final = 24
"""Images compared per step. Half of them are follow-ups: their patients are in the sample."""
MEDIAN_AGE: Final = 50
"""Years; splits the records in halves."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def choose_records(images: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Choose `count` images, at most three of a patient apart from those with scarce findings.

    First all images of scarce findings are chosen. Each further step takes the label with the
    fewest images (No Finding is a label too), and compares some random images with this label. The
    image that least associates labels, view, sex and age of the sample is chosen.

    Args:
        images: the records (N rows).
        count: number of images.
        seed: seed of the choice.

    Returns:
        The chosen rows of `images`, sorted by image.

    Raises:
        UserError: the records do not have so many images under these rules.
    """
    rng = np.random.default_rng(seed)
    labels = images[[*LABEL_COLUMNS]].to_numpy(bool)
    sample = Sample(_traits(images), images.patient.to_numpy(np.int64))
    scarce = labels.sum(axis=0) < SCARCE_SHARE * count
    for row in rng.permutation(np.flatnonzero(labels[:, scarce].any(axis=1)))[:count]:
        sample.add(int(row))
    open_labels = set(np.flatnonzero(~scarce).tolist())
    while len(sample.rows) < count and open_labels:
        rarest = min(open_labels, key=lambda label: (sample.products[label, label], label))
        candidates = sample.candidates(np.flatnonzero(labels[:, rarest]), rng)
        if len(candidates):
            sample.add(sample.least_associated(candidates))
        else:
            open_labels.remove(rarest)
    if len(sample.rows) < count:
        raise UserError(
            f"data.phantom.images is {count}, but a few images of each patient make no more than "
            f"{len(sample.rows)} of the {len(images)} records; lower it"
        )
    return images.iloc[sorted(sample.rows)]


def _traits(images: pd.DataFrame) -> Floats:
    """Return labels, view, sex and age group of each image as 0 and 1: (N, 18)."""
    groups = [images["view"] == "AP", images["sex"] == "F", images["age"] > MEDIAN_AGE]
    return np.column_stack([images[[*LABEL_COLUMNS]].to_numpy(np.float64), *groups])


class Sample:
    """The chosen rows, and the sums of products from which the correlations of traits follow."""

    def __init__(self, traits: Floats, patients: Rows) -> None:
        """Create an empty sample of N rows with T traits: `traits` (N, T), `patients` (N,)."""
        self.traits, self.patients = traits, patients
        self.rows: list[int] = []
        self.available = np.ones(len(traits), bool)
        self.patient_counts: dict[int, int] = {}
        self.products = np.zeros((traits.shape[1], traits.shape[1]))

    def add(self, row: int) -> None:
        """Add a row to the sample."""
        patient = int(self.patients[row])
        self.rows.append(row)
        self.available[row] = False
        self.patient_counts[patient] = self.patient_counts.get(patient, 0) + 1
        self.products += np.outer(self.traits[row], self.traits[row])

    def candidates(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Choose available rows at random: half of new patients, half of patients in the sample."""
        rows = rows[self.available[rows]]
        counts = [self.patient_counts.get(patient, 0) for patient in self.patients[rows].tolist()]
        image_counts = np.array(counts, int)
        new = rows[image_counts == 0]
        follow_ups = rows[(image_counts > 0) & (image_counts < IMAGES_PER_PATIENT)]
        return np.concatenate(
            [rng.permutation(half)[: CANDIDATES // 2] for half in (new, follow_ups)]
        )

    def least_associated(self, candidates: Rows) -> int:
        """Return the candidate that minimizes the squared correlations of all pairs of traits."""
        traits = self.traits[candidates]  # (K, T)
        count = len(self.rows) + 1
        products = (self.products + traits[:, :, None] * traits[:, None, :]) / count  # (K, T, T)
        means = np.diagonal(products, axis1=1, axis2=2)  # traits are 0 or 1, so trait² = trait
        covariance = products - means[:, :, None] * means[:, None, :]
        variance = np.maximum(means * (1 - means), 1 / count)
        squared = covariance**2 / (variance[:, :, None] * variance[:, None, :])
        return int(candidates[np.argmin(squared.sum(axis=(1, 2)))])
