"""Sampling of the records of phantoms, enriched in rare findings."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import FINDINGS, NO_FINDING_COLUMN

IMAGES_PER_PATIENT = 3
SCARCE = 0.1
"""A finding with fewer images than this share of the sample lends all of them (Hernia has 227)."""
NO_FINDING_SHARE = 0.18
CANDIDATES = 12
"""Patients compared per step; more of them give more findings on fewer images."""


def choose_records(images: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Choose `count` images, up to three of each patient, enriched in the rare findings.

    First every image of a scarce finding. Then, for the finding with the fewest images, those of a
    patient with it: of a few random ones the patient with the most rare findings. Last, patients
    without a finding.

    Args:
        images: the records (N rows).
        count: number of images.
        seed: seed of the choice.

    Returns:
        The chosen rows of `images`, sorted by image.

    Raises:
        UserError: these rules give fewer images.
    """
    rng = np.random.default_rng(seed)
    sick = images[images[NO_FINDING_COLUMN] == 0]
    healthy = images[images[NO_FINDING_COLUMN] == 1]
    healthy = healthy[~healthy.patient.isin(sick.patient)]
    without = round(count * NO_FINDING_SHARE)
    chosen = _enriched(sick, count - without, rng)
    quiet = healthy.groupby("patient", sort=True).head(2)
    start = rng.permutation(quiet.patient.unique())[:without]
    chosen += quiet[quiet.patient.isin(start)].index.tolist()[: count - len(chosen)]
    if len(chosen) < count:
        raise UserError(
            f"data.phantom.images is {count}, but a few images of each patient make no more than "
            f"{len(chosen)} of the {len(images)} records; lower it"
        )
    return images.loc[sorted(chosen)]


def _enriched(sick: pd.DataFrame, room: int, rng: np.random.Generator) -> list[int]:
    """Choose `room` images with findings, each time for the finding with the fewest."""
    labels = sick[list(FINDINGS)].to_numpy(np.int64)
    patients, owner = np.unique(sick.patient.to_numpy(), return_inverse=True)
    rows_of = _rows_by_owner(owner)
    owners = [np.unique(owner[column == 1]) for column in labels.T]
    free = np.ones(len(patients), bool)
    scarce = labels.sum(0) < SCARCE * room
    rows = rng.permutation(np.flatnonzero(labels[:, scarce].any(axis=1)))[:room]
    free[owner[rows]] = False
    counts = labels[rows].sum(0).astype(np.float64)
    chosen: list[int] = sick.index.to_numpy()[rows].tolist()
    while len(chosen) < room:
        order = np.argsort(counts, kind="stable")
        candidates = next((left for f in order if len(left := owners[f][free[owners[f]]])), None)
        if candidates is None:
            break
        weights = 1 / (1 + counts)
        some = rng.permutation(candidates)[:CANDIDATES]
        best = max(some, key=lambda p: float((labels[rows_of[p]] @ weights).max()))
        gain = labels[rows_of[best]] @ weights
        # One to three images of a patient, the most useful first.
        wanted = min(int(rng.integers(1, IMAGES_PER_PATIENT + 1)), room - len(chosen))
        rows = rows_of[best][np.argsort(-gain, kind="stable")][:wanted]
        chosen += sick.index.to_numpy()[rows].tolist()
        counts += labels[rows].sum(0)
        free[best] = False
    return chosen


def _rows_by_owner(owner: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each patient, by its number from 0."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.searchsorted(owner[order], np.arange(1, owner.max() + 1)))
