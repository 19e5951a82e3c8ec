"""Paired differences between two arms, by bootstrap over patients.

A replicate draws patients with replacement (cxr14.metrics.bootstrap) and weighs images. Both arms
are scored with the same weights, each as the mean of its seeds, so the interval covers the variance
of patients. The range over the seeds is reported separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr14.evaluation.measures import AP_BIAS_SHIFTS, Predictions
from cxr14.labels import FINDINGS
from cxr14.metrics.auroc import Array, Floats, weighted_auroc_and_ap
from cxr14.metrics.bootstrap import (
    N_REPLICATES,
    SEED,
    Replicates,
    bias_corrected,
    confusion_counts,
    draw_replicates,
    interval,
)
from cxr14.metrics.intervals import mean_over

MEASURES = ("F1", "AUROC", "AP")
BIAS_SHIFTS = {"AP": AP_BIAS_SHIFTS}


@dataclass(frozen=True)
class Difference:
    """Macro mean of one measure over a group of findings: one arm against the reference.

    Attributes:
        value: the mean of the seeds on test; None if nothing can be scored.
        difference: from the reference, same.
        low: of the difference's 95 % interval, patients resampled; None if too many resamples
            cannot score all findings (see ``bootstrap.interval``).
        high: same.
        seed_low: least difference of any seed from the reference's same seed.
        seed_high: greatest.
    """

    value: float | None
    difference: float | None
    low: float | None
    high: float | None
    seed_low: float | None
    seed_high: float | None


def weighted_f1s(labels: Array, predictions: Predictions, replicates: Replicates) -> Floats:
    """F1 of the fourteen findings at the network's own thresholds, under many weightings.

    Args:
        labels: (N, 15) of 0 and 1.
        predictions: on the same images.
        replicates: of their patients.

    Returns:
        (1 + R, 14); NaN without threshold, and without positives or negatives.
    """
    findings = slice(len(FINDINGS))
    thresholds = predictions.thresholds[findings]
    called = predictions.probabilities[:, findings] >= thresholds
    f1s = confusion_counts(labels[:, findings], called, *replicates).f1()
    return np.where(np.isnan(thresholds), np.nan, f1s)


def finding_values(labels: Array, predictions: Predictions, replicates: Replicates) -> Floats:
    """F1, AUROC and AP of the fourteen findings under many weightings, (3, 1 + R, 14)."""
    findings = slice(len(FINDINGS))
    areas = weighted_auroc_and_ap(labels[:, findings], predictions.logits[:, findings], *replicates)
    return np.stack([weighted_f1s(labels, predictions, replicates), *areas])


def resampled_means(
    labels: Array,
    patients: Array,
    networks: Mapping[str, Predictions],
    groups: Mapping[str, list[int]],
    resamples: int = N_REPLICATES,
) -> dict[str, Floats]:
    """Score networks on test, and on the same resamples of its patients.

    Args:
        labels: (N, 15) of 0 and 1.
        patients: (N,).
        networks: predictions by name.
        groups: columns of the findings over which means are taken, by name.
        resamples: how many, R.

    Returns:
        By network (3 measures, groups, 1 + R); the first weighting counts every image once. A mean
        is over the findings that the images themselves can score, NaN in a resample that cannot
        score one of them.
    """
    replicates = draw_replicates(patients, np.random.default_rng(SEED), resamples)
    return {
        name: np.array(
            [
                [mean_over(value[:, columns]) for columns in groups.values()]
                for value in finding_values(labels, predictions, replicates)
            ]
        )
        for name, predictions in networks.items()
    }


def compare(
    seeds: Sequence[Floats], reference: Sequence[Floats], bias_shifts: int = 0
) -> Difference:
    """Compare an arm with the reference by one measure.

    Args:
        seeds: (1 + R,) for each seed: on test, then on the resamples.
        reference: the same of the reference, seed by seed.
        bias_shifts: of the measure, see :func:`cxr14.metrics.bootstrap.bias_corrected`.
    """
    by_seed = np.stack(seeds) - np.stack(reference)
    mean = by_seed.mean(axis=0)
    low, high, _ = interval(bias_corrected(mean, bias_shifts, (-1.0, 1.0)))
    known = bool(np.isfinite(mean[0]))
    return Difference(
        float(np.stack(seeds)[:, 0].mean()) if known else None,
        float(mean[0]) if known else None,
        low,
        high,
        float(by_seed[:, 0].min()) if known else None,
        float(by_seed[:, 0].max()) if known else None,
    )
