"""Differences between two ways of training, on the same resamples of the same patients.

A resample draws patients with replacement (cxr14.metrics.bootstrap) and weighs images. Both ways
are scored under the same weights, each the mean of its seeds, so an interval tells what other
patients would change. What other seeds would change stands beside it, as the range over the seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablation.collect import Answers
from cxr14.evaluation.measures import mean_over
from cxr14.labels import FINDINGS
from cxr14.metrics.auroc import Array, Counts, Floats
from cxr14.metrics.bootstrap import (
    N_REPLICATES,
    SEED,
    interval,
    weighted_auroc_and_ap,
    weighted_confusion_counts,
    weightings,
)

MEASURES = ("F1", "AUROC", "AP")


@dataclass(frozen=True)
class Difference:
    """One measure, macro over a group of findings, of one way beside the reference.

    Attributes:
        value: the mean of the seeds on the test part; None if nothing can be scored.
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


def weighted_f1s(labels: Array, answers: Answers, weights: Counts) -> Floats:
    """F1 of the fourteen findings at the network's own thresholds, under many weightings.

    Args:
        labels: (N, 15) of 0 and 1.
        answers: on the same images.
        weights: (R, N) int, how often each image counts.

    Returns:
        (R, 14); NaN without threshold, or where a weighting leaves no positives or no negatives.
    """
    findings = slice(len(FINDINGS))
    thresholds = answers.thresholds[findings]
    called = answers.probabilities[:, findings] >= thresholds
    f1s = weighted_confusion_counts(labels[:, findings], called, weights).measures()["f1"]
    return np.where(np.isnan(thresholds), np.nan, f1s)


def finding_values(labels: Array, answers: Answers, weights: Counts) -> Floats:
    """F1, AUROC and AP of the fourteen findings under many weightings, (3, R, 14)."""
    ranked = [
        weighted_auroc_and_ap(labels[:, i], answers.logits[:, i], weights)
        for i in range(len(FINDINGS))
    ]
    aurocs, precisions = (np.stack([one[kind] for one in ranked], axis=1) for kind in (0, 1))
    return np.stack([weighted_f1s(labels, answers, weights), aurocs, precisions])


def resampled_means(
    labels: Array,
    patients: Array,
    networks: Mapping[str, Answers],
    groups: Mapping[str, list[int]],
    resamples: int = N_REPLICATES,
) -> dict[str, Floats]:
    """Score networks on the test part, and on the same resamples of its patients.

    Args:
        labels: (N, 15) of 0 and 1.
        patients: (N,).
        networks: answers by name.
        groups: columns of the findings over which means are taken, by name.
        resamples: how many, R.

    Returns:
        By network (3 measures, groups, 1 + R); the first weighting counts every image once. A mean
        is over the findings that the images themselves can score, NaN in a resample that cannot
        score one of them.
    """
    parts: dict[str, list[Floats]] = {name: [] for name in networks}
    for weights in weightings(patients, np.random.default_rng(SEED), resamples):
        for name, answers in networks.items():
            parts[name].append(finding_values(labels, answers, weights))
    values = {name: np.concatenate(blocks, axis=1) for name, blocks in parts.items()}
    return {
        name: np.array([[mean_over(one[:, own]) for own in groups.values()] for one in measured])
        for name, measured in values.items()
    }


def compare(seeds: Sequence[Floats], reference: Sequence[Floats]) -> Difference:
    """Compare two ways by one measure.

    Args:
        seeds: (1 + R,) for each seed: on the test part, then on the resamples.
        reference: the same of the reference, seed by seed.
    """
    by_seed = np.stack(seeds) - np.stack(reference)
    mean = by_seed.mean(axis=0)
    low, high, _ = interval(mean[1:])
    known = bool(np.isfinite(mean[0]))
    return Difference(
        float(np.stack(seeds)[:, 0].mean()) if known else None,
        float(mean[0]) if known else None,
        low,
        high,
        float(by_seed[:, 0].min()) if known else None,
        float(by_seed[:, 0].max()) if known else None,
    )
