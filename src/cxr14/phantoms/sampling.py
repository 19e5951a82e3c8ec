"""Sampling of the records of phantoms, enriched in boxes and rare findings."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import BOXED, FINDINGS, NO_FINDING_COLUMN

IMAGES_PER_PATIENT = 6
BOXES_PER_FINDING = 11
NO_FINDING_SHARE = 0.18
CANDIDATES = 12
"""Patients compared per step; more of them give more findings on fewer images."""


def choose_records(
    images: pd.DataFrame, boxes: pd.DataFrame, count: int, seed: int
) -> pd.DataFrame:
    """Choose `count` images, a few of each patient, enriched in the rare findings.

    First patients with boxes, until every boxed finding has eleven boxes or a third of the images
    is chosen. Then, for the finding with the fewest images, that of a few random patients with the
    most rare findings. Last, patients without a finding.

    Args:
        images: the records (N rows).
        boxes: the boxes.
        count: number of images; at most six of a patient.
        seed: seed of the choice.

    Returns:
        The chosen rows of `images`, sorted by image.

    Raises:
        UserError: these rules give fewer images.
    """
    rng = np.random.default_rng(seed)
    boxed_patients = set(images.patient[images.image.isin(boxes.image)])
    chosen = _with_boxes(images, boxes, count // 3, rng)
    pool = images[~images.patient.isin(boxed_patients)]
    sick = pool[pool[NO_FINDING_COLUMN] == 0]
    healthy = pool[pool[NO_FINDING_COLUMN] == 1]
    healthy = healthy[~healthy.patient.isin(sick.patient)]
    room = count - len(chosen)
    without = round(room * NO_FINDING_SHARE)
    chosen += _enriched(sick, room - without, rng)
    quiet = healthy.groupby("patient", sort=True).head(2)
    start = rng.permutation(quiet.patient.unique())[:without]
    chosen += quiet[quiet.patient.isin(start)].index.tolist()[: count - len(chosen)]
    if len(chosen) < count:
        raise UserError(
            f"data.phantom.images is {count}, but a few images of each patient make no more than "
            f"{len(chosen)} of the {len(images)} records; lower it"
        )
    return images.loc[sorted(chosen)]


def _with_boxes(
    images: pd.DataFrame, boxes: pd.DataFrame, limit: int, rng: np.random.Generator
) -> list[int]:
    """Choose images of patients with boxes, boxed ones first, for the finding with the fewest."""
    owner = images.set_index("image").patient
    table = boxes.assign(patient=owner.reindex(boxes.image).to_numpy())
    counts = dict.fromkeys(BOXED, 0)
    chosen: list[int] = []
    taken: set[int] = set()
    while min(counts.values()) < BOXES_PER_FINDING and len(chosen) < limit:
        lacking = min(BOXED, key=lambda finding: counts[finding])
        owners = table.patient[(table.finding == lacking) & ~table.patient.isin(taken)]
        if owners.empty:
            break
        patient = int(rng.choice(owners.unique()))
        patient_rows = images[images.patient == patient]
        first = patient_rows.image.isin(boxes.image)
        rows = [*patient_rows.index[first], *patient_rows.index[~first]][: max(int(first.sum()), 2)]
        rows = rows[: min(IMAGES_PER_PATIENT, limit - len(chosen))]
        for finding in table.finding[table.image.isin(images.image[rows])]:
            counts[finding] += 1
        chosen += rows
        taken.add(patient)
    return chosen


def _enriched(sick: pd.DataFrame, room: int, rng: np.random.Generator) -> list[int]:
    """Choose `room` images with findings, each time for the finding with the fewest."""
    labels = sick[list(FINDINGS)].to_numpy(np.int64)
    rows_of = _rows_by_patient(sick.patient.to_numpy())
    owners = [np.unique(sick.patient.to_numpy()[column == 1]) for column in labels.T]
    counts = np.zeros(labels.shape[1])
    chosen: list[int] = []
    taken: set[int] = set()
    while len(chosen) < room:
        order = np.argsort(counts, kind="stable")
        lacking = next((f for f in order if len(set(owners[f]) - taken)), None)
        if lacking is None:
            break
        weights = 1 / (1 + counts)
        free = [p for p in rng.permutation(owners[lacking])[: 4 * CANDIDATES] if p not in taken]
        free = free or sorted(set(owners[lacking]) - taken)
        best = max(free[:CANDIDATES], key=lambda p: float((labels[rows_of[p]] @ weights).max()))
        gain = labels[rows_of[best]] @ weights
        # One to three images of a patient, the most useful first.
        wanted = min(int(rng.integers(1, 4)), room - len(chosen))
        rows = rows_of[best][np.argsort(-gain, kind="stable")][:wanted]
        chosen += sick.index.to_numpy()[rows].tolist()
        counts += labels[rows].sum(0)
        taken.add(int(best))
    return chosen


def _rows_by_patient(patients: npt.NDArray[np.int32]) -> dict[int, npt.NDArray[np.int64]]:
    order = np.argsort(patients, kind="stable")
    names, starts = np.unique(patients[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
