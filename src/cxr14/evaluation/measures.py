"""Measures of a network by class, on all images and on bootstrap replicates of the patients.

:data:`MEASURES` lists them. The columns of findings.csv, the rows of means.csv, the headline JSON,
the summary and the comparison of networks follow from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from cxr14.errors import UserError
from cxr14.evaluation.predictions import (
    classes_of,
    logit_columns,
    probability_columns,
    read_network,
)
from cxr14.labels import NO_FINDING
from cxr14.metrics.auroc import Array, Counts, Floats, scorable, weighted_auroc_and_ap
from cxr14.metrics.bootstrap import (
    SEED,
    ConfusionCounts,
    Replicates,
    bias_corrected,
    confusion_counts,
    enough_patients,
    patients_by_class,
    weighted_sums,
)
from cxr14.metrics.calibration import (
    chance_calibration_error,
    platt_probabilities,
    temperature_probabilities,
    weighted_calibration_errors,
)

SAW_TEST_IMAGES: Final = "initial_weights_saw_test_images"
"""Key of metrics/evaluate/B.json, present only for published initial weights: 1 if they were
trained on images of NIH's official test list, else 0."""


def saw_test_images(initial_weights: Mapping[str, str] | None) -> dict[str, int]:
    """Return the number of :data:`SAW_TEST_IMAGES`; nothing for other initial weights.

    Args:
        initial_weights: as in model.json.
    """
    if not initial_weights:
        return {}
    return {SAW_TEST_IMAGES: int(initial_weights["nih_test_images"].startswith("yes"))}


@dataclass(frozen=True)
class Predictions:
    """Predictions of one network for N images.

    Attributes:
        classes: C names.
        logits: (N, C), used for ranking: probabilities near 1 round to equal float32.
        probabilities: (N, C), compared with the thresholds.
        decision: thresholds, platt, temperature and reasons by class, the content of
            evaluation/B/decision.json. The key temperature may be missing.
    """

    classes: tuple[str, ...]
    logits: Array
    probabilities: Array
    decision: Mapping[str, Any]

    @property
    def thresholds(self) -> Floats:
        """Thresholds of highest F1 on validation, (C,); NaN where there is none."""
        return np.array([self.decision["thresholds"][name] for name in self.classes], np.float64)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Reasons why classes have no threshold and no calibration."""
        reasons: Mapping[str, str] = self.decision["reasons"]
        return reasons

    @cached_property
    def calibrated(self) -> Floats:
        """Platt-scaled probabilities (N, C); NaN for a class without scaling."""
        return platt_probabilities(self.logits, self.decision["platt"], self.classes)

    def forecasts(self) -> dict[str, Floats]:
        """Return probabilities (N, C) as they are, after Platt and after temperature scaling."""
        fits = self.decision.get("temperature") or dict.fromkeys(self.classes)
        return {
            "": self.probabilities.astype(np.float64),
            "_platt": self.calibrated,
            "_temperature": temperature_probabilities(self.logits, fits, self.classes),
        }

    def select(self, classes: Sequence[str]) -> "Predictions":
        """Return the predictions of some classes."""
        columns = [self.classes.index(name) for name in classes]
        return replace(
            self,
            classes=tuple(classes),
            logits=self.logits[:, columns],
            probabilities=self.probabilities[:, columns],
        )

    def rows(self, members: Array) -> "Predictions":
        """Return the predictions for some images, by mask or indices."""
        return replace(self, logits=self.logits[members], probabilities=self.probabilities[members])


def predictions_of(rows: pd.DataFrame, decision: Mapping[str, Any]) -> Predictions:
    """Build the predictions of a network from its table and its decision.

    Args:
        rows: of predictions/B.parquet, N images.
        decision: content of evaluation/B/decision.json.
    """
    classes = classes_of(rows)
    logits, probabilities = (
        rows[columns(classes)].to_numpy() for columns in (logit_columns, probability_columns)
    )
    return Predictions(classes, logits, probabilities, decision)


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


WITH: Final = "with it"
WITHOUT: Final = "without it"
CALLED: Final = "called positive"
"""Patients of a class, see :attr:`Sample.patients`."""


@dataclass(frozen=True)
class Sample:
    """N images with predictions for C classes, and the replicates of their patients.

    Attributes:
        labels: (N, C) of 0 and 1.
        logits: (N, C), used for ranking.
        called: (N, C) bool, whether the probability reaches the threshold.
        decided: (C,) bool, whether a class has a threshold.
        forecasts: probabilities (N, C) by kind, see :meth:`Predictions.forecasts`.
        replicates: of the patients of the images.
    """

    labels: Array
    logits: Array
    called: Array
    decided: Array
    forecasts: Mapping[str, Floats]
    replicates: Replicates

    @cached_property
    def ranking(self) -> tuple[Floats, Floats]:
        """AUROC and average precision, (1 + R, C) each."""
        return weighted_auroc_and_ap(self.labels, self.logits, *self.replicates)

    @cached_property
    def confusion(self) -> ConfusionCounts:
        """Confusion counts at the thresholds, (1 + R, C) each."""
        return confusion_counts(self.labels, self.called, *self.replicates)

    @cached_property
    def patients(self) -> dict[str, Counts]:
        """Number of patients with each class, without it, and called positive, (C,) each."""
        labels, called = self.labels, self.called & (self.labels >= 0)
        sides = {WITH: labels > 0, WITHOUT: labels == 0, CALLED: called}
        return {
            who: patients_by_class(images, self.replicates.owner) for who, images in sides.items()
        }

    def pooled(self, columns: Array) -> "Sample":
        """Return all entries (image, class) of some columns (C,) as a single class."""

        def entries(values: Array) -> Array:
            return values[:, columns].reshape(-1, 1)

        owner = np.repeat(self.replicates.owner, int(columns.sum()))
        return Sample(
            entries(self.labels),
            entries(self.logits),
            entries(self.called),
            np.array([True]),
            {kind: entries(values) for kind, values in self.forecasts.items()},
            Replicates(owner, self.replicates.counts),
        )


def sample_of(predictions: Predictions, labels: Array, replicates: Replicates) -> Sample:
    """Combine the predictions for N images with their labels (N, C) and replicates."""
    thresholds = predictions.thresholds
    return Sample(
        labels,
        predictions.logits,
        predictions.probabilities >= thresholds,
        ~np.isnan(thresholds),
        predictions.forecasts(),
        replicates,
    )


def decision_measure(formula: Callable[[ConfusionCounts], Floats], sample: Sample) -> Floats:
    """Measure of the decisions at the thresholds, (1 + R, C); NaN without a threshold."""
    return np.where(sample.decided, formula(sample.confusion), np.nan)


def brier(forecast: str, sample: Sample) -> Floats:
    """Brier score of a kind of probabilities, (1 + R, C)."""
    squares = (sample.forecasts[forecast] - (sample.labels > 0)) ** 2
    squares = np.where(sample.labels < 0, 0, squares)
    images = np.maximum(sample.confusion.images, 1)
    means = weighted_sums(squares, *sample.replicates) / images
    return np.where(sample.confusion.known, means, np.nan)


def calibration_error(forecast: str, sample: Sample) -> Floats:
    """Calibration error (ECE) of a kind of probabilities, (1 + R, C)."""
    errors = weighted_calibration_errors(
        sample.labels, sample.forecasts[forecast], *sample.replicates
    )
    return np.where(sample.confusion.known, errors, np.nan)


def chance_error(forecast: str, sample: Sample) -> Floats:
    """ECE of a perfectly calibrated forecast with the same probabilities, (C,).

    Each class has the same seed, so that its value does not depend on the other classes.
    """
    probabilities = sample.forecasts[forecast]
    known = sample.confusion.known[0] & ~np.isnan(probabilities).any(axis=0)
    errors = [
        chance_calibration_error(column[labels >= 0], np.random.default_rng(SEED))
        if scored
        else np.nan
        for column, labels, scored in zip(probabilities.T, sample.labels.T, known, strict=True)
    ]
    return np.array(errors, np.float64)


@dataclass(frozen=True)
class Measure:
    """A measure by class, and the files that report its means over findings.

    Attributes:
        name: column of findings.csv; means.csv has ``macro_<name>``, ``weighted_<name>`` and,
            except for measures that need calibration, ``micro_<name>``.
        compute: values (1 + R, C): on all images, then by replicate; NaN without positives or
            without negatives.
        needs: what has to be chosen on validation: nothing, a threshold, or a calibration.
        headline: kinds of mean in metrics/evaluate/B.json.
        summary: whether its macro mean is in metrics/summary.json.
        compared: whether differences.csv compares its macro mean.
        patients: of whom an interval needs MIN_PATIENTS, see :attr:`Sample.patients`.
        bias_shifts: see :func:`cxr14.metrics.bootstrap.bias_corrected`.
        chance: the expected value (C,) of a perfect forecast, where it is not 0 or 1.
    """

    name: str
    compute: Callable[[Sample], Floats]
    needs: Literal["nothing", "threshold", "calibration"] = "nothing"
    headline: tuple[str, ...] = ()
    summary: bool = False
    compared: bool = False
    patients: tuple[str, ...] = (WITH, WITHOUT)
    bias_shifts: int = 0
    chance: Callable[[Sample], Floats] | None = None

    def replicates(self, values: Floats) -> Floats:
        """Return the replicates (R,) of (1 + R,) values, from which an interval is computed."""
        return bias_corrected(values, self.bias_shifts)

    def difference(self, first: Floats, second: Floats) -> Floats:
        """Return first minus second, (1 + R,), with corrected replicates."""
        values = first - second
        return np.append(values[:1], bias_corrected(values, self.bias_shifts, (-1.0, 1.0)))

    def has_enough_patients(self, sample: Sample) -> Array:
        """Return which classes (C,) have an interval, bool."""
        return enough_patients(*(sample.patients[who] for who in self.patients))


MACRO: Final = "macro"
"""Mean over findings, and the row of that mean."""

WITHOUT_TTA: Final = "_without_tta"
TTA_DIFFERENCE: Final = "_tta_difference"
"""Suffixes of a mean without test-time augmentation, and of the mean with it minus that."""

AP_BIAS_SHIFTS: Final = 2
ECE_BIAS_SHIFTS: Final = 1
"""An interval of the ECE includes what chance adds, which has a column of its own."""


def _ece(forecast: str, headline: tuple[str, ...] = ()) -> Measure:
    return Measure(
        f"ece{forecast}",
        partial(calibration_error, forecast),
        "calibration",
        headline,
        bias_shifts=ECE_BIAS_SHIFTS,
        chance=partial(chance_error, forecast),
    )


MEASURES: Final = (
    Measure(
        "auroc",
        lambda sample: sample.ranking[0],
        headline=(MACRO, "micro", "weighted"),
        summary=True,
        compared=True,
    ),
    Measure(
        "average_precision",
        lambda sample: sample.ranking[1],
        headline=(MACRO,),
        summary=True,
        compared=True,
        bias_shifts=AP_BIAS_SHIFTS,
    ),
    Measure(
        "f1",
        partial(decision_measure, ConfusionCounts.f1),
        needs="threshold",
        headline=(MACRO,),
        summary=True,
        compared=True,
    ),
    Measure(
        "precision",
        partial(decision_measure, ConfusionCounts.precision),
        "threshold",
        patients=(WITH, WITHOUT, CALLED),
    ),
    Measure("recall", partial(decision_measure, ConfusionCounts.recall), "threshold"),
    Measure("specificity", partial(decision_measure, ConfusionCounts.specificity), "threshold"),
    Measure("brier", partial(brier, ""), "calibration", (MACRO,)),
    Measure("brier_platt", partial(brier, "_platt"), "calibration", (MACRO,)),
    Measure("brier_temperature", partial(brier, "_temperature"), "calibration"),
    _ece("", (MACRO,)),
    _ece("_platt", (MACRO,)),
    _ece("_temperature"),
)
"""All measures, in the order of the columns of findings.csv."""


def findings_of(classes: tuple[str, ...]) -> Array:
    """Return which of the C classes are findings, bool (C,)."""
    return np.array([name != NO_FINDING for name in classes], bool)


def unscorable_reason(labels: Array, split: str = "validation") -> str | None:
    """Return why the labels (N,) of a split cannot be scored; None if they can."""
    if scorable(labels):
        return None
    missing = "negatives" if (labels > 0).any() else "positives"
    unknown = int((labels < 0).sum())
    without = f" ({unknown} more have an unknown label)" if unknown else ""
    return f"{split} holds no {missing} among {len(labels) - unknown} images{without}"


CALIBRATION: Final = "mean_predicted_minus_prevalence"
"""Calibration of a group of images, a measure of :mod:`cxr14.evaluation.subgroups`."""
