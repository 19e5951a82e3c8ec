"""What evaluation decides on validation and what it then measures on test."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cxr14.evaluation.bootstrap import macro_auroc_interval
from cxr14.evaluation.calibration import platt
from cxr14.evaluation.classification import finding_scores
from cxr14.evaluation.thresholds import highest_f1, why_none
from cxr14.findings import CLASSES, NO_FINDING, without_no_finding
from cxr14.ranking import Array, macro_auroc, mean_over_scored


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
        The content of evaluation/B/decision.json: ``thresholds`` (on the probability) and
        ``platt`` (slope and intercept on the logit) by class, null where validation lacks
        positives or negatives, and ``reasons`` for each null.
    """
    columns = list(enumerate(classes))
    reasons = {name: why_none(labels[:, i]) for i, name in columns}
    fits = {name: platt(labels[:, i], logits[:, i]) for i, name in columns}
    return {
        "format": 1,
        "backbone": backbone,
        "chosen_on": "val",
        "thresholds": {n: highest_f1(labels[:, i], probabilities[:, i]) for i, n in columns},
        "platt": {
            name: fit and {"slope": fit[0], "intercept": fit[1]} for name, fit in fits.items()
        },
        "reasons": {name: reason for name, reason in reasons.items() if reason},
    }


def score(
    backbone: str,
    parts: Array,
    labels: Array,
    logits: Array,
    probabilities: Array,
    patients: Array,
    generator: np.random.Generator,
    classes: Sequence[str] = CLASSES,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Decide on the validation images, then measure on the test images.

    Args:
        backbone: name of the network.
        parts: (N,) ``val`` or ``test``.
        labels: (N, C) of 0 and 1.
        logits: (N, C).
        probabilities: (N, C).
        patients: (N,).
        generator: draws the bootstrap.
        classes: C names of the columns.

    Returns:
        The decision (see :func:`decide`) and the metrics (see :func:`measure`), these with the
        macro AUROC on validation.
    """
    val, test = parts == "val", parts == "test"
    decision = decide(backbone, labels[val], logits[val], probabilities[val], classes)
    answers = labels[test], logits[test], probabilities[test], patients[test]
    metrics = measure(*answers, decision["thresholds"], generator, classes)
    area, scored = macro_auroc(labels[val], logits[val], classes)
    metrics["validation"] = {"macro_auroc": area, "findings_scored": scored}
    return decision, metrics


def measure(
    labels: Array,
    logits: Array,
    probabilities: Array,
    patients: Array,
    thresholds: dict[str, float | None],
    generator: np.random.Generator,
    classes: Sequence[str] = CLASSES,
) -> dict[str, Any]:
    """Measure a network on test images, with thresholds chosen elsewhere.

    Args:
        labels: (N, C) of 0 and 1.
        logits: (N, C).
        probabilities: (N, C).
        patients: (N,), the unit of the bootstrap.
        thresholds: by class, on the probability.
        generator: draws the bootstrap.
        classes: C names of the columns.

    Returns:
        Macro means over the findings that can be scored, how many these are
        (``findings_scored``; for F1 ``findings_with_f1``), the 95 % interval of the macro
        AUROC, and the scores of each finding and of No Finding (None if it is no class).
    """
    scores = {
        name: finding_scores(labels[:, i], logits[:, i], probabilities[:, i], thresholds[name])
        for i, name in enumerate(classes)
    }
    findings = without_no_finding(classes)
    macro_area, scored = macro_auroc(labels, logits, classes)
    macro_f1, with_f1 = mean_over_scored([scores[name]["f1"] for name in findings])
    low, high = macro_auroc_interval(labels, logits, patients, generator, classes=classes)
    return {
        "images": len(labels),
        "macro_auroc": macro_area,
        "macro_auroc_low": low,
        "macro_auroc_high": high,
        "macro_average_precision": mean_over_scored(
            [scores[name]["average_precision"] for name in findings]
        )[0],
        "macro_f1": macro_f1,
        "findings_scored": scored,
        "findings_with_f1": with_f1,
        "findings": {name: scores[name] for name in findings},
        "no_finding": scores.get(NO_FINDING),
    }
