"""Scores of a network on a group of test images and on bootstrap resamples of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.errors import UserError
from cxr14.evaluation.predict import logit_columns, probability_columns
from cxr14.evaluation.predictions import LOGIT, read_decision, read_predictions
from cxr14.metrics.auroc import Array, Counts, Floats, aurocs
from cxr14.metrics.bootstrap import ENDS, Replicates, interval, patients_by_class, weighted_sums
from cxr14.metrics.calibration import BINS, equal_mass_bins, platt_probabilities

# Predictions of networks on the test split.


@dataclass(frozen=True)
class Predictions:
    """Predictions of one network for N images.

    Attributes:
        classes: C names.
        logits: (N, C), used for AUROC.
        probabilities: (N, C), compared with the thresholds.
        calibrated: (N, C) Platt-scaled probabilities, NaN for a class without scaling.
        thresholds: (C,) of highest F1 on validation, NaN where there is none.
        reasons: why a class has no threshold and no scaling.
    """

    classes: tuple[str, ...]
    logits: Array
    probabilities: Array
    calibrated: Floats
    thresholds: Floats
    reasons: Mapping[str, str]

    def of(self, classes: Sequence[str]) -> Array:
        """Return the logits of some classes, (N, len(classes))."""
        return self.logits[:, [self.classes.index(name) for name in classes]]


def rows_of_test(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows of predictions/B.parquet, sorted by image."""
    return predictions[predictions["split"] == "test"].sort_values("image", ignore_index=True)


def predictions_of(rows: pd.DataFrame, decision: dict[str, Any]) -> Predictions:
    """Build the predictions of a network from its table and its decision.

    Args:
        rows: of predictions/B.parquet, N images.
        decision: content of evaluation/B/decision.json.
    """
    classes = classes_of(rows)
    logits = rows[logit_columns(classes)].to_numpy()
    return Predictions(
        classes,
        logits,
        rows[probability_columns(classes)].to_numpy(),
        platt_probabilities(logits, decision["platt"], classes),
        np.array([decision["thresholds"][name] for name in classes], np.float64),
        decision["reasons"],
    )


def classes_of(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes whose logits a table holds, in its order."""
    columns = [str(name) for name in rows.columns]
    return tuple(name.removeprefix(LOGIT) for name in columns if name.startswith(LOGIT))


def network_files(backbone: str) -> tuple[str, str]:
    """Return the paths of a network's predictions and its decision."""
    return f"predictions/{backbone}.parquet", f"evaluation/{backbone}/decision.json"


def read_network(backbone: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the test rows and the decision of one network.

    Raises:
        UserError: it has not been evaluated, or a file is damaged.
    """
    predictions, decision = network_files(backbone)
    rows = read_predictions(predictions)
    return rows_of_test(rows), read_decision(decision, classes_of(rows))


def read_test_predictions(backbones: Sequence[str]) -> tuple[list[str], dict[str, Predictions]]:
    """Read the predictions of several networks on test.

    Returns:
        The images, sorted, and the predictions by backbone in the given order.

    Raises:
        UserError: a network has not been evaluated, a file is damaged, or networks have
            predictions for other images.
    """
    images: list[str] = []
    predictions: dict[str, Predictions] = {}
    for backbone in backbones:
        rows, decision = read_network(backbone)
        test_images = rows["image"].tolist()
        if predictions and test_images != images:
            raise UserError(
                f"predictions/{backbone}.parquet holds other test images than that of "
                f"{next(iter(predictions))}; run dvc repro"
            )
        images, predictions[backbone] = test_images, predictions_of(rows, decision)
    return images, predictions


# Names of rows and measures in the tables of ``compare``.


MACRO: Final = "macro"
"""The row of the mean over findings."""

CALIBRATION: Final = "mean_predicted_minus_prevalence"
MEASURES: Final = ("auroc", "fpr", "fnr", CALIBRATION)


MIN_PATIENTS: Final = 10
"""Minimum number of patients in the denominator of a rate.

Patients with positives for the false negative rate, with negatives for the false positive rate,
both for AUROC, and twice as many of any kind for calibration. Patients are counted because patients
are resampled. With ten, one patient changes a rate by about 0.1.
"""

ECE: Final = "ece_platt"
FIXED: Final = "one side is the same in every resample"

Score = tuple[float | None, float | None, float | None, float | None]
"""A value, its interval, the share of dropped replicates; None where missing."""


@dataclass(frozen=True)
class Scores:
    """One network on one group of images.

    Attributes:
        images: how many.
        patients: how many.
        positives: (C,) images of each class.
        patients_with: (C,) patients of the positives of each class.
        patients_without: (C,) patients of the negatives; one with images of both kinds is in both.
        values: by measure, (1 + R, C): on all images, then by resample; NaN where a measure has
            too few patients (see MIN_PATIENTS), no threshold or no scaling.
    """

    images: int
    patients: int
    positives: Counts
    patients_with: Counts
    patients_without: Counts
    values: Mapping[str, Floats]

    def rankable(self) -> Array:
        """Whether each class (C,) has enough patients for every measure."""
        enough = np.minimum(self.patients_with, self.patients_without) >= MIN_PATIENTS
        return enough & (self.patients >= 2 * MIN_PATIENTS)


def score_group(
    predictions: Predictions, labels: Array, members: Array, resamples: Replicates
) -> Scores:
    """Score a network on some of N images.

    Args:
        predictions: for all N images.
        labels: (N, C) of 0 and 1, in the order of the predictions' classes.
        members: (N,) bool, which images.
        resamples: of the patients of all N images.
    """
    positives, owner = labels[members] > 0, resamples.owner[members]
    patients_with, patients_without = (
        patients_by_class(positives, owner),
        patients_by_class(~positives, owner),
    )
    patients = len(np.unique(owner))
    half = np.full_like(patients_with, patients // 2)
    values = _rates(positives, predictions, members, owner, resamples.counts)
    values["auroc"] = np.full_like(values["fpr"], np.nan)
    for column in np.flatnonzero(np.minimum(patients_with, patients_without) >= MIN_PATIENTS):
        logits = predictions.logits[members, column]
        values["auroc"][:, column] = aurocs(positives[:, column], logits, owner, resamples.counts)
    for name, below in (("fpr", patients_without), ("fnr", patients_with), (CALIBRATION, half)):
        values[name][:, below < MIN_PATIENTS] = np.nan
    return Scores(
        len(positives), patients, positives.sum(axis=0), patients_with, patients_without, values
    )


def calibration_errors(
    predictions: Predictions, labels: Array, members: Array, resamples: Replicates
) -> Floats:
    """Calibration error of the Platt-scaled probabilities on a group, see :func:`score_group`.

    As ``cxr14.metrics.calibration`` defines it: ten bins of equal mass, those of the group.

    Returns:
        (1 + R, C); NaN for a class without scaling, and with too few patients.
    """
    positives, calibrated = labels[members] > 0, predictions.calibrated[members]
    shape = resamples.counts.shape[1], positives.shape[1]
    patients, patient_index = np.unique(resamples.owner[members], return_inverse=True)
    if len(patients) < 2 * MIN_PATIENTS:
        return np.full(shape, np.nan)
    bins = np.stack([equal_mass_bins(column) for column in calibrated.T], axis=1)
    cell = (patient_index[:, None] * shape[1] + np.arange(shape[1])) * BINS + bins
    excess = np.nan_to_num(calibrated - positives).ravel()
    by_patient = np.bincount(cell.ravel(), excess, len(patients) * shape[1] * BINS)
    weights = resamples.counts[patients].T.astype(np.float64)
    gaps = np.abs(weights @ by_patient.reshape(len(patients), -1)).reshape(*shape, BINS).sum(axis=2)
    images = (weights @ np.bincount(patient_index))[:, None]
    errors = np.where(images > 0, gaps / np.maximum(images, 1), np.nan)
    errors[:, np.isnan(calibrated).any(axis=0)] = np.nan
    return errors


def _rates(
    labels: Array, predictions: Predictions, members: Array, owner: Counts, counts: Array
) -> dict[str, Floats]:
    """Return both error rates and mean predicted minus prevalence, (1 + R, C) each."""
    called = predictions.probabilities[members] >= predictions.thresholds
    calibrated = predictions.calibrated[members]
    columns = [
        labels,
        called & ~labels,
        ~called & labels,
        calibrated - labels,
        np.ones_like(calibrated),
    ]
    table = np.concatenate([column.astype(np.float64) for column in columns], axis=1)
    sums = np.split(weighted_sums(table, owner, counts), len(columns), axis=1)
    positives, false_positives, false_negatives, excess, images = sums
    decided = np.where(np.isnan(predictions.thresholds), np.nan, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "fpr": decided * false_positives / (images - positives),
            "fnr": decided * false_negatives / positives,
            CALIBRATION: excess / images,
        }


def mean_over(values: Floats) -> Floats:
    """Mean over those classes that the images themselves can score, (1 + R, k) to (1 + R,).

    NaN in a resample that cannot score one of them, as in ``cxr14.evaluation.tables``; and if there
    are none.
    """
    known = np.isfinite(values[0])
    return values[:, known].mean(axis=1) if known.any() else np.full(len(values), np.nan)


def null_reason(predictions: Predictions, scores: Scores, column: int) -> str | None:
    """Return why some scores of a class are missing."""
    below = {
        "patients with it": (int(scores.patients_with[column]), MIN_PATIENTS),
        "patients without it": (int(scores.patients_without[column]), MIN_PATIENTS),
        "patients": (scores.patients, 2 * MIN_PATIENTS),
    }
    few = ((who, count, need) for who, (count, need) in below.items() if count < need)
    reasons = [f"too few {who}: {count} of {need}" for who, count, need in few]
    if predictions.classes[column] in predictions.reasons:
        reasons.append(predictions.reasons[predictions.classes[column]])
    return "; ".join(reasons) or None


def difference(first: Floats, second: Floats) -> Floats:
    """Return one score minus another, (1 + R,), or (1,), without resamples, if either never varies.

    A rate of 0 of 18 images is 0 in every resample, so the interval of the difference would be too
    narrow.
    """
    values = first - second
    constant = any(len(np.unique(side[np.isfinite(side)])) < 2 for side in (first, second))
    return values[:1] if constant else values


def summary(values: Floats) -> Score:
    """Return the value on all images, and its 95 % interval.

    Args:
        values: (1 + R,): on all images, then by resample; (1,) has no interval.
    """
    if not np.isfinite(values[0]):
        return None, None, None, None
    if len(values) == 1:
        return float(values[0]), None, None, None
    return float(values[0]), *interval(values[1:])


def interval_columns(values: Mapping[str, Floats]) -> dict[str, float | None]:
    """Return measures, each (1 + R,), as columns ``auroc``, ``auroc_low``, ``auroc_high``, …"""
    return {
        f"{name}{end}": value
        for name, resampled in values.items()
        for end, value in zip(ENDS, summary(resampled), strict=False)
    }


def without_interval(differences: Mapping[str, Floats]) -> str | None:
    """Return which differences have a value but no interval (see :func:`difference`), or None."""
    fixed = [
        name for name, values in differences.items() if len(values) == 1 and np.isfinite(values[0])
    ]
    return f"no interval of {', '.join(fixed)}: {FIXED}" if fixed else None
