"""The same resamples of patients for everything that is compared.

A resample is kept as a count per patient, not per image: what is added up over a patient's images
is added up once, and then weighed a thousand times.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cxr14.evaluation.bootstrap import AT_A_TIME, RESAMPLES, patient_weights
from cxr14.evaluation.weighted import as_counts
from cxr14.ranking import Array, Counts, Floats


@dataclass(frozen=True)
class Resamples:
    """Draws of P patients, R times, and before them the weighting that counts everyone once.

    Attributes:
        owner: (N,) which of the P patients each image is of.
        counts: (P, 1 + R) float32, how often each patient counts; whole numbers, so sums of them
            are exact below 16 million images.
    """

    owner: Counts
    counts: Array

    def by_image(self) -> Iterator[Floats]:
        """Yield how often each image counts, some weightings (w, N) at a time."""
        for start in range(0, self.counts.shape[1], AT_A_TIME):
            yield as_counts(self.counts[self.owner, start : start + AT_A_TIME].T)


def draw(patients: Array, generator: np.random.Generator, resamples: int = RESAMPLES) -> Resamples:
    """Draw resamples of the patients (N,) of N images; of a single patient none.

    With one generator the draws are those of ``cxr14.evaluation.bootstrap.patient_weights``, so
    intervals are the ones that evaluation gives.
    """
    distinct, owner = np.unique(patients, return_inverse=True)
    everyone = np.arange(len(distinct))
    drawn = [np.ones((1, len(distinct)), np.int64)]
    for start in range(0, resamples if len(distinct) > 1 else 0, AT_A_TIME):
        drawn.append(patient_weights(everyone, min(AT_A_TIME, resamples - start), generator))
    counts = np.ascontiguousarray(np.concatenate(drawn).T, np.float32)
    return Resamples(owner.astype(np.int64), counts)


def patients_by_class(present: Array, owner: Counts) -> Counts:
    """Count the distinct patients of the images that have each class.

    Args:
        present: (n, C) bool.
        owner: (n,) the patient of each image.

    Returns:
        (C,).
    """
    seen = [np.count_nonzero(np.bincount(owner[column])) for column in present.T]
    return np.array(seen, np.int64)


def weighted_sums(values: Array, owner: Counts, counts: Array) -> Floats:
    """Add up K columns over images under every weighting.

    Args:
        values: (n, K) of n images.
        owner: (n,) their patients, rows of ``counts``.
        counts: (P, W), see :class:`Resamples`.

    Returns:
        (W, K).
    """
    seen, place = np.unique(owner, return_inverse=True)
    cell = place[:, None] * values.shape[1] + np.arange(values.shape[1])
    size = len(seen) * values.shape[1]
    by_patient = np.bincount(cell.ravel(), values.ravel(), size).reshape(len(seen), -1)
    return np.asarray(counts[seen].T.astype(np.float64) @ by_patient)
