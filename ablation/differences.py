"""Differences between two ways of training, on the same resamples of the same patients.

A resample draws patients with replacement (cxr14.evaluation.bootstrap) and weighs images. Both ways
are scored under the same weights, each the mean of its seeds, so an interval tells what other
patients would change. What other seeds would change stands beside it, as the range over the seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablation.collect import Answers
from cxr14.evaluation.bootstrap import (
    AT_A_TIME,
    RESAMPLES,
    SEED,
    mean_ignoring_nan,
    patient_weights,
    percentile_interval,
    weighted_aurocs,
)
from cxr14.findings import FINDINGS
from cxr14.ranking import Array, Counts, Floats

MEASURES = ("F1", "AUROC", "AP")


@dataclass(frozen=True)
class Difference:
    """One measure, macro over a group of findings, of one way beside the reference.

    Attributes:
        value: the mean of the seeds on the test part; None if nothing can be scored.
        difference: from the reference, same.
        low: of the difference's 95 % interval, patients resampled.
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
    present = labels[:, findings] > 0
    thresholds = answers.thresholds[findings]
    called = answers.probabilities[:, findings] >= thresholds
    counted = weights.astype(np.float64)  # exact, and fast in a matrix product
    hits, calls, positives = (
        counted @ mask.astype(np.float64) for mask in (called & present, called, present)
    )
    known = (positives > 0) & (positives < counted.sum(axis=1, keepdims=True))
    known &= ~np.isnan(thresholds)
    return np.where(known, 2 * hits / np.maximum(calls + positives, 1), np.nan)


def weighted_average_precisions(labels: Array, scores: Array, weights: Counts) -> Floats:
    """Average precision of one finding under many weightings of the images at once.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) finite.
        weights: (R, N) int, how often each image counts.

    Returns:
        (R,); NaN where a weighting leaves no positives or no negatives.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    falling = scores[order]
    last_of_run = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    drawn = weights[:, order]
    called = np.cumsum(drawn, axis=1)[:, last_of_run]
    hits = np.cumsum(drawn * (labels[order] > 0), axis=1)[:, last_of_run]
    precision = hits / np.maximum(called, 1)
    area = (np.diff(hits, prepend=0) * precision).sum(axis=1)
    positives = hits[:, -1]
    known = (positives > 0) & (positives < called[:, -1])
    return np.where(known, area / np.maximum(positives, 1), np.nan)


def finding_values(labels: Array, answers: Answers, weights: Counts) -> Floats:
    """F1, AUROC and AP of the fourteen findings under many weightings, (3, R, 14)."""
    ranked = [
        np.stack(
            [measure(labels[:, i], answers.logits[:, i], weights) for i in range(len(FINDINGS))],
            axis=1,
        )
        for measure in (weighted_aurocs, weighted_average_precisions)
    ]
    return np.stack([weighted_f1s(labels, answers, weights), *ranked])


def resampled_means(
    labels: Array,
    patients: Array,
    networks: Mapping[str, Answers],
    groups: Mapping[str, list[int]],
    resamples: int = RESAMPLES,
) -> dict[str, Floats]:
    """Score networks on the test part, and on the same resamples of its patients.

    Args:
        labels: (N, 15) of 0 and 1.
        patients: (N,).
        networks: answers by name.
        groups: columns of the findings over which means are taken, by name.
        resamples: how many, R.

    Returns:
        By network (3 measures, groups, 1 + R); the first weighting counts every image once.
    """
    parts: dict[str, list[Floats]] = {name: [] for name in networks}
    for weights in _weightings(patients, resamples):
        for name, answers in networks.items():
            values = finding_values(labels, answers, weights)
            means = [mean_ignoring_nan(values[..., columns]) for columns in groups.values()]
            parts[name].append(np.stack(means, axis=1))
    return {name: np.concatenate(blocks, axis=2) for name, blocks in parts.items()}


def _weightings(patients: Array, resamples: int) -> Iterator[Counts]:
    """Yield weights (R, N) in blocks: every image once, then the resamples."""
    generator = np.random.default_rng(SEED)
    yield np.ones((1, len(patients)), np.int64)
    for start in range(0, resamples, AT_A_TIME):
        yield patient_weights(patients, min(AT_A_TIME, resamples - start), generator)


def compare(seeds: Sequence[Floats], reference: Sequence[Floats]) -> Difference:
    """Compare two ways by one measure.

    Args:
        seeds: (1 + R,) for each seed: on the test part, then on the resamples.
        reference: the same of the reference, seed by seed.
    """
    by_seed = np.stack(seeds) - np.stack(reference)
    mean = by_seed.mean(axis=0)
    low, high = percentile_interval(mean[1:])
    known = bool(np.isfinite(mean[0]))
    return Difference(
        float(np.stack(seeds)[:, 0].mean()) if known else None,
        float(mean[0]) if known else None,
        low,
        high,
        float(by_seed[:, 0].min()) if known else None,
        float(by_seed[:, 0].max()) if known else None,
    )
