"""metrics/evaluate/B/findings.csv: every measure of every class, with intervals and reasons."""

from typing import Any

import numpy as np
import pandas as pd

from cxr14.evaluation.bootstrap import ENDS, MOST_LEFT_OUT, interval, without_bias
from cxr14.evaluation.delong import LEAST, delong_interval, first_per_patient
from cxr14.evaluation.resampled import ECE, MEASURES, LabelledAnswers, Resampled
from cxr14.evaluation.thresholds import why_none
from cxr14.ranking import Array, Floats

COLUMNS = [
    *("finding", "images", "positives", "negatives", "prevalence", "threshold"),
    *(f"{name}{end}" for name in MEASURES for end in ENDS),
    *("auroc_delong_low", "auroc_delong_high", "left_out", "reason"),
]

Row = dict[str, Any]


def finding_rows(answers: LabelledAnswers, patients: Array, scores: Resampled) -> pd.DataFrame:
    """Lay out one row per class, in the order of the classes.

    Args:
        answers: of the N test images, in the order of their names.
        patients: (N,).
        scores: of the same images.

    Returns:
        The columns COLUMNS; null where a measure cannot be had, and then ``reason`` says why.
    """
    single = first_per_patient(patients)
    rows = []
    for column, name in enumerate(answers.classes):
        labels = answers.labels[:, column]
        ends = delong_interval(labels[single], answers.logits[single, column])
        own = {measure: values[:, column] for measure, values in scores.by_class.items()}
        left_out = interval(own["auroc"][1:])[2] if len(scores.positives) > 1 else None
        row: Row = {
            **_counts(name, labels),
            "threshold": answers.decision["thresholds"][name],
            **_with_ends(own),
            "auroc_delong_low": ends[0],
            "auroc_delong_high": ends[1],
            "left_out": left_out,
        }
        row["reason"] = "; ".join(_reasons(row, answers, labels, labels[single])) or None
        rows.append(row)
    numbers = dict.fromkeys(COLUMNS[COLUMNS.index("prevalence") : -1], np.float64)
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def _counts(name: str, labels: Array) -> Row:
    images, positives = len(labels), int((labels > 0).sum())
    return {
        "finding": name,
        "images": images,
        "positives": positives,
        "negatives": images - positives,
        "prevalence": positives / images if images else None,
    }


def _with_ends(own: dict[str, Floats]) -> Row:
    """Return every measure of one class with its interval."""
    row: Row = {}
    for measure in MEASURES:
        values = own[measure]
        drawn = without_bias(values) if measure in ECE else values[1:]
        row[measure] = float(values[0])
        row[f"{measure}_low"], row[f"{measure}_high"], _ = interval(drawn)
    return row


def _reasons(row: Row, answers: LabelledAnswers, labels: Array, one_each: Array) -> list[str]:
    """Say why something in a row is null."""
    reason = why_none(labels, "test")
    if reason:
        return [reason]
    found = [answers.decision["reasons"].get(row["finding"])]
    left_out, positives = row["left_out"], int((one_each > 0).sum())
    negatives = len(one_each) - positives
    if left_out is None:
        found.append("all images are of one patient: nothing to resample")
    elif left_out > MOST_LEFT_OUT:
        found.append(f"no intervals: {100 * left_out:.1f} % of resamples hold one class only")
    if row["threshold"] is not None and np.isnan(row["precision"]):
        found.append("no precision: nothing is called")
    elif row["precision_low"] is None and row["recall_low"] is not None:
        found.append("no interval of precision: too many resamples in which nothing is called")
    if min(positives, negatives) < LEAST:
        kept = f"{positives} positive and {negatives} negative images"
        found.append(f"no DeLong interval: one image per patient leaves {kept}")
    elif row["auroc_delong_low"] is None:
        found.append("no DeLong interval: its variance is 0")
    return [one for one in found if one]
