"""Thresholds and calibration chosen on validation, and scores on test, with their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.records import read_source, write_result, write_table
from cxr14.evaluation.measures import (
    MEASURES,
    Predictions,
    Sample,
    sample_of,
    unscorable_reason,
)
from cxr14.evaluation.predictions import prediction_table, probability_columns
from cxr14.evaluation.tables import curve_tables, finding_rows, mean_rows, measure_values
from cxr14.io import write_json, write_parquet
from cxr14.labels import CLASSES, NO_FINDING, label_matrix
from cxr14.metrics.auroc import Array, macro_auroc
from cxr14.metrics.bootstrap import N_REPLICATES, SEED, draw_replicates
from cxr14.metrics.calibration import highest_f1, platt, temperature


def decide(
    backbone: str,
    labels: Array,
    logits: Array,
    probabilities: Array,
    classes: Sequence[str] = CLASSES,
) -> dict[str, Any]:
    """Choose thresholds and calibration on validation images.

    Args:
        backbone: name of the network, noted in the result.
        labels: (N, C) of 0 and 1.
        logits: (N, C).
        probabilities: (N, C).
        classes: C names of the columns.

    Returns:
        The content of evaluation/B/decision.json: ``thresholds`` (on the probability), ``platt``
        (slope and intercept on the logit) and ``temperature`` (a divisor of the logit, for
        comparison) by class, null where validation lacks positives or negatives, and ``reasons``
        for each null.
    """
    columns = list(enumerate(classes))
    reasons = {name: unscorable_reason(labels[:, i]) for i, name in columns}
    fits = {name: platt(labels[:, i], logits[:, i]) for i, name in columns}
    return {
        "format": 1,
        "backbone": backbone,
        "chosen_on": "val",
        "thresholds": {n: highest_f1(labels[:, i], probabilities[:, i]) for i, n in columns},
        "platt": {
            name: fit and {"slope": fit[0], "intercept": fit[1]} for name, fit in fits.items()
        },
        "temperature": {n: temperature(labels[:, i], logits[:, i]) for i, n in columns},
        "reasons": {name: reason for name, reason in reasons.items() if reason},
    }


@dataclass(frozen=True)
class Scores:
    """Scores of a network on test images.

    Attributes:
        headline: flat numbers, the content of metrics/evaluate/B.json.
        findings: a row per class, findings.csv (:mod:`cxr14.evaluation.tables`).
        means: a row per kind of mean and measure, means.csv (:mod:`cxr14.evaluation.tables`).
    """

    headline: dict[str, Any]
    findings: pd.DataFrame
    means: pd.DataFrame


def score(
    backbone: str,
    splits: Array,
    labels: Array,
    logits: Array,
    probabilities: Array,
    patients: Array,
    generator: np.random.Generator,
    classes: Sequence[str] = CLASSES,
) -> tuple[dict[str, Any], Scores]:
    """Decide on the validation images, then measure on the test images.

    Args:
        backbone: name of the network.
        splits: (N,) ``val`` or ``test``, images in the order of their names.
        labels: (N, C) of 0 and 1.
        logits: (N, C).
        probabilities: (N, C).
        patients: (N,).
        generator: source of random numbers for the bootstrap.
        classes: C names of the columns.

    Returns:
        The decision (see :func:`decide`) and the scores (see :func:`measure`), their headline with
        the macro AUROC on validation.
    """
    val, test = splits == "val", splits == "test"
    decision = decide(backbone, labels[val], logits[val], probabilities[val], classes)
    test_arrays = labels[test], logits[test], probabilities[test], patients[test]
    scores = measure(*test_arrays, decision, generator, classes)
    auroc, _ = macro_auroc(labels[val], logits[val], classes)
    headline = {**scores.headline, "validation_macro_auroc": auroc}
    return decision, replace(scores, headline=headline)


def measure(
    labels: Array,
    logits: Array,
    probabilities: Array,
    patients: Array,
    decision: Mapping[str, Any],
    generator: np.random.Generator,
    classes: Sequence[str] = CLASSES,
    n_replicates: int = N_REPLICATES,
) -> Scores:
    """Score a network on test images with given thresholds and calibration.

    Args:
        labels: (N, C) of 0 and 1, images in the order of their names.
        logits: (N, C).
        probabilities: (N, C).
        patients: (N,), the unit of the bootstrap.
        decision: thresholds, platt, temperature and reasons by class, see :func:`decide`.
        generator: source of random numbers for the bootstrap.
        classes: C names of the columns.
        n_replicates: number of bootstrap replicates, the same for all measures.
    """
    predictions = Predictions(tuple(classes), logits, probabilities, decision)
    sample = sample_of(predictions, labels, draw_replicates(patients, generator, n_replicates))
    return measure_sample(predictions, sample, patients)


def measure_sample(predictions: Predictions, sample: Sample, patients: Array) -> Scores:
    """Score a network on a sample of its predictions, see :func:`measure`.

    Args:
        predictions: for N images, in the order of their names.
        sample: the same images.
        patients: (N,).
    """
    measured = measure_values(sample)
    findings = finding_rows(predictions, sample, patients, measured)
    means = mean_rows(predictions, sample, measured)
    images = {"images": len(sample.labels), "patients": len(np.unique(patients))}
    return Scores({**images, **_headline(findings, means)}, findings, means)


def _headline(findings: pd.DataFrame, means: pd.DataFrame) -> dict[str, Any]:
    """Select the headline numbers from both tables, as :data:`MEASURES` names them.

    Without the ends of intervals: `dvc metrics diff` would list them as metrics.
    """
    rows = {row["mean"]: row for row in means.to_dict("records")}
    numbers: dict[str, Any] = {
        "findings_scored": rows["macro_auroc"]["findings"],
        "findings_with_f1": rows["macro_f1"]["findings"],
    }
    for measure in MEASURES:
        for name in (f"{kind}_{measure.name}" for kind in measure.headline):
            numbers[name] = rows[name]["value"]
    no_finding = findings.set_index("finding").reindex([NO_FINDING]).iloc[0]
    numbers["no_finding_auroc"] = no_finding["auroc"]
    return _nullable(numbers)


def _nullable(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers with None for NaN."""
    return {name: None if pd.isna(value) else value for name, value in numbers.items()}


def score_logits(
    name: str,
    listed: pd.DataFrame,
    logits: npt.NDArray[np.float32],
    classes: Sequence[str],
    records: pd.DataFrame,
    root: Path = Path(),
    tta: pd.DataFrame | None = None,
    facts: Mapping[str, int] | None = None,
) -> Scores:
    """Score the logits of a network or an ensemble, and write predictions, metrics and curves.

    Args:
        name: of the network or ensemble.
        listed: image and split of the M held-out images.
        logits: (M, C) float32.
        classes: C names.
        records: patients and labels.
        root: the folder of predictions, evaluation, metrics and plots.
        tta: rows of means.csv for logits with test-time augmentation (cxr14.evaluation.tta); the
            decision then has the key ``tta``.
        facts: further numbers for metrics/evaluate/NAME.json.

    Returns:
        All scores.
    """
    predictions = prediction_table(listed, logits, classes)
    write_parquet(root / f"predictions/{name}.parquet", predictions)
    image_records = records.set_index("image").loc[listed["image"]]
    labels, patients = label_matrix(image_records, classes), image_records["patient"].to_numpy()
    probabilities = predictions[probability_columns(classes)].to_numpy()
    splits, arrays = listed["split"].to_numpy(str), (labels, logits, probabilities, patients)
    decision, scores = score(name, splits, *arrays, np.random.default_rng(SEED), classes)
    if tta is not None:
        decision["tta"] = True
        values = {row["mean"]: row["value"] for row in tta.to_dict("records")}
        means = pd.concat([scores.means, tta], ignore_index=True)
        scores = replace(scores, headline=scores.headline | _nullable(values), means=means)
    source = read_source()
    write_json(root / f"evaluation/{name}/decision.json", decision)
    metrics = root / "metrics/evaluate"
    write_result(metrics / f"{name}.json", {**scores.headline, **(facts or {})}, source)
    for table, rows in {"findings": scores.findings, "means": scores.means}.items():
        write_table(metrics / name / f"{table}.csv", rows, source)
    test = splits == "test"
    curves = curve_tables(labels[test], logits[test], probabilities[test], classes)
    for curve, points in curves.items():
        write_table(root / f"plots/evaluate/{name}/{curve}.csv", points, source)
    return scores
