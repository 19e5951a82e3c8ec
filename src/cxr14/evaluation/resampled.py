"""A network's measures on the test part and on every resample of its patients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr14.evaluation.bootstrap import weightings
from cxr14.evaluation.calibration import platt_probabilities, temperature_probabilities
from cxr14.evaluation.reliability import weighted_calibration_errors
from cxr14.evaluation.weighted import Ranking, as_counts, rank, weighted_calls
from cxr14.findings import NO_FINDING
from cxr14.ranking import Array, Floats

RANKED = ("auroc", "average_precision")
DECIDED = ("f1", "precision", "recall", "specificity")
FORECAST = ("brier", "brier_platt", "brier_temperature")
ECE = ("ece", "ece_platt", "ece_temperature")
MEASURES = (*RANKED, *DECIDED, *FORECAST, *ECE)

Measured = dict[str, Floats]


@dataclass(frozen=True)
class LabelledAnswers:
    """What a network says of N images, and what validation made of it.

    Attributes:
        classes: C names of the columns.
        labels: (N, C) of 0 and 1.
        logits: (N, C), used for ranking: probabilities near 1 round to equal float32.
        probabilities: (N, C), held against the thresholds.
        decision: thresholds, platt and temperature by class: evaluation/B/decision.json.
    """

    classes: Sequence[str]
    labels: Array
    logits: Array
    probabilities: Array
    decision: Mapping[str, Any]

    def thresholds(self) -> Floats:
        """Return the thresholds (C,), NaN where there is none."""
        chosen = self.decision["thresholds"]
        return np.array([chosen[name] for name in self.classes], np.float64)

    def findings(self) -> Array:
        """Return which of the C classes are findings, bool (C,)."""
        return np.array([name != NO_FINDING for name in self.classes], bool)

    def forecasts(self) -> dict[str, Floats]:
        """Return probabilities (N, C) as they are, after Platt and after temperature scaling."""
        platts, heats = self.decision["platt"], self.decision["temperature"]
        return {
            "": self.probabilities.astype(np.float64),
            "_platt": platt_probabilities(self.logits, platts, self.classes),
            "_temperature": temperature_probabilities(self.logits, heats, self.classes),
        }


@dataclass(frozen=True)
class Resampled:
    """Measures of the part itself (row 0) and of R resamples (the rows below).

    Attributes:
        by_class: measure to (1 + R, C), NaN where a resample cannot be scored.
        pooled: measure to (1 + R,), over all entries of the findings; neither Brier scores nor ECE.
        positives: (1 + R, C), weighted counts.
    """

    by_class: Measured
    pooled: Measured
    positives: Floats


def resampled(
    answers: LabelledAnswers, patients: Array, generator: np.random.Generator, resamples: int
) -> Resampled:
    """Score a network on its images, and on the same resamples for every measure.

    A class that a resample leaves without positives or without negatives is NaN in it, in every
    measure.

    Args:
        answers: of N images.
        patients: (N,).
        generator: source of the draws.
        resamples: how many, R; with fewer than two patients none is drawn.
    """
    draws = resamples if len(np.unique(patients)) > 1 else 0
    by_class, pooled, positives = zip(*_blocks(answers, patients, generator, draws), strict=True)
    return Resampled(_joined(by_class), _joined(pooled), np.concatenate(positives))


def _blocks(
    answers: LabelledAnswers, patients: Array, generator: np.random.Generator, resamples: int
) -> Iterator[tuple[Measured, Measured, Floats]]:
    """Yield by_class, pooled and positives for each block of weightings."""
    findings, labels = answers.findings(), answers.labels
    each = [rank(labels[:, i], answers.logits[:, i]) for i in range(len(answers.classes))]
    together = rank(labels[:, findings], answers.logits[:, findings])
    forecasts = answers.forecasts()
    squares = {f"brier{name}": (own - (labels > 0)) ** 2 for name, own in forecasts.items()}
    thresholds = answers.thresholds()
    called, decided = answers.probabilities >= thresholds, ~np.isnan(thresholds)
    for weights in map(as_counts, weightings(patients, generator, resamples)):
        calls = weighted_calls(labels, called, weights)
        known = (calls.positives > 0) & (calls.positives < calls.images)
        decisions = calls.measures()
        by_class = {
            **_areas(each, weights),
            **{name: np.where(decided, decisions[name], np.nan) for name in DECIDED},
            **{name: _means(own, weights, known) for name, own in squares.items()},
            **{f"ece{n}": _errors(labels, own, weights, known) for n, own in forecasts.items()},
        }
        micro = calls.pooled(findings & decided).measures()
        pooled = {
            **{name: own[:, 0] for name, own in _areas([together], weights).items()},
            **{name: micro[name][:, 0] for name in DECIDED},
        }
        yield by_class, pooled, calls.positives


def _areas(rankings: Sequence[Ranking], weights: Floats) -> Measured:
    """AUROC and average precision of C rankings under R weightings, (R, C) each."""
    areas = [ranking.areas(weights) for ranking in rankings]
    return {
        name: np.stack([one[i] for one in areas], axis=1) if areas else np.zeros((len(weights), 0))
        for i, name in enumerate(RANKED)
    }


def _means(values: Floats, weights: Floats, known: Array) -> Floats:
    """Weighted means of (N, C) under (R, N), where known (R, C), else NaN."""
    images = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return np.where(known, weights @ values / images, np.nan)


def _errors(labels: Array, forecast: Floats, weights: Floats, known: Array) -> Floats:
    """Calibration errors of (N, C) under (R, N), where known (R, C), else NaN; NaN stays NaN."""
    columns = zip(labels.T, forecast.T, strict=True)
    errors = [weighted_calibration_errors(*one, weights) for one in columns]
    return np.where(known, np.stack(errors, axis=1), np.nan) if errors else known.astype(float)


def _joined(blocks: Sequence[Measured]) -> Measured:
    """Put the resamples of all blocks below one another."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
