"""Bootstrap over patients: replicates, sums under them, confusion counts and intervals.

Patients are resampled, not images, since images of one patient are not independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from cxr14.metrics.auroc import Array, Counts, Floats

N_REPLICATES = 1000
SEED = 14
MAX_DROPPED_SHARE = 0.05
BLOCK_SIZE = 100  # replicates per call of the generator; another number would draw others

MIN_PATIENTS: Final = 10
"""Minimum number of patients behind an interval, in each denominator of the measure.

Patients with positives for recall or average precision, with negatives for specificity, both for
AUROC. Patients are counted, not images, because patients are resampled. With ten, one patient
changes a rate by about 0.1, and simulated 95 % intervals of an AUROC cover it in 90 % of cases;
with three patients in 76 % (benchmarks/coverage.py).
"""

ENDS: Final = ("", "_low", "_high")
"""Suffixes of columns and keys: the value, and the ends of its interval."""


class Replicates(NamedTuple):
    """A weighting that counts every patient once, and after it R bootstrap replicates.

    Attributes:
        owner: (N,) the patient of each image, a row of ``counts``.
        counts: (P, 1 + R) float32, how often each of the P patients counts. Whole numbers, so sums
            are exact below 2²⁴.
    """

    owner: Counts
    counts: Array

    def of(self, members: Array) -> "Replicates":
        """Return the same replicates for some of the images, by mask or indices."""
        return Replicates(self.owner[members], self.counts)


def draw_replicates(
    patients: Array, generator: np.random.Generator, n_replicates: int = N_REPLICATES
) -> Replicates:
    """Draw replicates of the patients (N,) of N images; none if there is a single patient."""
    distinct, owner = np.unique(patients, return_inverse=True)
    everyone = np.arange(len(distinct))
    blocks = [np.ones((1, len(distinct)), np.int64)]
    for start in range(0, n_replicates if len(distinct) > 1 else 0, BLOCK_SIZE):
        blocks.append(patient_weights(everyone, min(BLOCK_SIZE, n_replicates - start), generator))
    counts = np.ascontiguousarray(np.concatenate(blocks).T, np.float32)
    return Replicates(owner.astype(np.int64), counts)


def patient_weights(patients: Array, n_replicates: int, generator: np.random.Generator) -> Counts:
    """Draw as many patients as there are, with replacement, and count each image.

    Args:
        patients: (N,) the patient of each image.
        n_replicates: number of draws, R.
        generator: source of random numbers.

    Returns:
        (R, N) int64: how often each image counts; equal for all images of a patient.
    """
    distinct, patient_of_image = np.unique(patients, return_inverse=True)
    share = np.full(len(distinct), 1 / max(len(distinct), 1))
    counts = generator.multinomial(len(distinct), share, size=n_replicates)  # (R, patients)
    return counts[:, patient_of_image]


def weighted_sums(values: Array, owner: Counts, counts: Array) -> Floats:
    """Sum K columns over images under every weighting.

    Args:
        values: (N, K).
        owner: (N,) the patients of the images, see :class:`Replicates`.
        counts: (P, W), see :class:`Replicates`.

    Returns:
        (W, K).
    """
    patients, indices = np.unique(owner, return_inverse=True)
    cells = indices[:, None] * values.shape[1] + np.arange(values.shape[1])
    shape = len(patients), values.shape[1]
    by_patient = np.bincount(cells.ravel(), values.ravel(), shape[0] * shape[1]).reshape(shape)
    return np.asarray(counts[patients].T.astype(np.float64) @ by_patient)


def patients_by_class(present: Array, owner: Counts) -> Counts:
    """Count the distinct patients of the images that have each class.

    Args:
        present: (N, C) bool.
        owner: (N,) the patient of each image.

    Returns:
        (C,).
    """
    patients = [np.count_nonzero(np.bincount(owner[column])) for column in present.T]
    return np.array(patients, np.int64)


def enough_patients(*counts: Counts) -> Array:
    """Return whether all counts of patients, (C,) each, reach the minimum: bool (C,)."""
    return np.asarray(np.min(counts, axis=0) >= MIN_PATIENTS)


def too_few_patients(counts: Mapping[str, int], required: int = MIN_PATIENTS) -> str | None:
    """Return which counts of patients are below the minimum, or None.

    Args:
        counts: number of patients by what they have in common, such as ``with it``.
        required: the minimum.
    """
    few = [
        f"too few patients {who}".rstrip() + f": {count} of {required}"
        for who, count in counts.items()
        if count < required
    ]
    return "; ".join(few) or None


@dataclass(frozen=True)
class ConfusionCounts:
    """Confusion counts of C classes under W weightings, each (W, C).

    Attributes:
        hits: true positives.
        calls: images called positive, rightly or not.
        positives: images with the finding.
        images: all images.
    """

    hits: Floats
    calls: Floats
    positives: Floats
    images: Floats

    @property
    def negatives(self) -> Floats:
        """Images without the finding."""
        return self.images - self.positives

    @property
    def known(self) -> Array:
        """Whether there are both positives and negatives, bool (W, C)."""
        return (self.positives > 0) & (self.negatives > 0)

    def f1(self) -> Floats:
        """F1, (W, C) in [0, 1]; this and the other measures are NaN without both classes."""
        return share(2 * self.hits, self.calls + self.positives, self.known)

    def precision(self) -> Floats:
        """Positive predictive value; NaN also where nothing is called."""
        return share(self.hits, self.calls, self.known & (self.calls > 0))

    def recall(self) -> Floats:
        """Sensitivity, the true positive rate."""
        return share(self.hits, self.positives, self.known)

    def specificity(self) -> Floats:
        """Recall of the negatives, the true negative rate."""
        return share(self.negatives - (self.calls - self.hits), self.negatives, self.known)


def confusion_counts(labels: Array, called: Array, owner: Counts, counts: Array) -> ConfusionCounts:
    """Count hits, calls and positives under each weighting.

    Args:
        labels: (N, C) of 0 and 1; entries below 0 are unknown and not counted.
        called: (N, C) bool.
        owner: (N,), see :class:`Replicates`.
        counts: (P, W), see :class:`Replicates`.
    """
    present, known = labels > 0, labels >= 0
    masks = [called & present, called & known, present, known]
    sums = weighted_sums(np.concatenate(masks, axis=1).astype(np.float64), owner, counts)
    return ConfusionCounts(*np.split(sums, len(masks), axis=1))


def share(numerator: Floats, denominator: Floats, known: Array) -> Floats:
    """Divide counts where ``known``, else NaN."""
    return np.where(known, numerator / np.maximum(denominator, 1), np.nan)


def interval(values: Floats) -> tuple[float | None, float | None, float]:
    """95 % percentile interval over replicates.

    A replicate that cannot be scored (NaN) is dropped. If more than 5 % are dropped there is no
    interval, as the remaining ones are a biased selection.

    Args:
        values: (R,), NaN where a replicate cannot be scored.

    Returns:
        Low end, high end (None without an interval), and the share of dropped replicates.
    """
    unknown = np.isnan(values)
    dropped = float(unknown.mean()) if len(values) else 1.0
    if dropped > MAX_DROPPED_SHARE:
        return None, None, dropped
    low, high = np.percentile(values[~unknown], [2.5, 97.5])
    return float(low), float(high), dropped


def bias_corrected(
    values: Floats, shifts: int = 1, bounds: tuple[float, float] = (0.0, 1.0)
) -> Floats:
    """Subtract the bias of the replicates, their mean minus the value on all images.

    Resampling increases some measures: the calibration error, since every replicate adds chance
    again, and average precision, since copies of a positive raise one another's precision. One
    shift centres the replicates on the value. The value exceeds the expectation of infinitely many
    images by about as much as the replicates exceed the value (Efron and Tibshirani 1993, chapter
    10). Two shifts therefore give the replicates of the bias-corrected value, whose percentiles
    cover that expectation. The intervals BC and BCa (Efron 1987) shift twice, too, on the scale of
    normal quantiles. They have no replicates left where nearly all lie above the value, as those
    of a macro mean do.

    Args:
        values: (1 + R,): on all images, then by replicate.
        shifts: how often the bias is subtracted; 0 changes nothing.
        bounds: of the measure; (-1, 1) for differences.

    Returns:
        (R,) within the bounds; NaN stays NaN.
    """
    replicates = values[1:]
    known = replicates[~np.isnan(replicates)]
    bias = known.mean() - values[0] if len(known) else 0.0
    return np.clip(replicates - shifts * bias, *bounds)
