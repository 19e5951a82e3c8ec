"""External validation: a network on another set, with thresholds and calibration of our validation.

The set and our test images are scored over the classes that the network predicts and the set
labels. The gap between both is paired by network and by findings: both means are over the findings
that can be scored on both sides. The images and patients are others, so the patients of each side
are resampled independently of those of the other, and the difference is taken replicate by
replicate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.errors import UserError
from cxr14.evaluation.evaluate import Scores, measure_sample
from cxr14.evaluation.measures import (
    MACRO,
    MEASURES,
    Measure,
    Predictions,
    Sample,
    findings_of,
    sample_of,
    unscorable_reason,
)
from cxr14.labels import label_matrix, without_no_finding
from cxr14.metrics.auroc import Array, Floats
from cxr14.metrics.bootstrap import (
    ENDS,
    N_REPLICATES,
    SEED,
    draw_replicates,
    too_few_patients,
)
from cxr14.metrics.intervals import FIXED, Score, difference, summary

SIDES: Final = ("ours", "external")
SEEDS: Final[dict[str, list[int]]] = {"ours": [SEED], "external": [SEED, 1]}
"""Of the replicates: `ours` are those of the stage evaluate, `external` are independent of them."""

GAP_COLUMNS: Final = [
    *("measure", "finding", "findings"),
    *(f"{side}{end}" for side in SIDES for end in ENDS),
    *("difference", "low", "high", "dropped_replicates", "reason"),
]

Row = dict[str, Any]


def shared_classes(classes: Sequence[str], labelled: Sequence[str]) -> list[str]:
    """Return the classes of a network that a set labels, in the network's order.

    Raises:
        UserError: there is no finding among them.
    """
    shared = [name for name in classes if name in labelled]
    if not without_no_finding(shared):
        raise UserError(
            f"the network predicts {', '.join(classes)}, and the set labels {', '.join(labelled)}: "
            f"they share no finding; correct the mapping, or remove the set from params.yaml"
        )
    return shared


@dataclass(frozen=True)
class ScoredSide:
    """Predictions for the images of one side, their labels and the replicates of their patients.

    Attributes:
        predictions: for N images and the C shared classes.
        sample: the same images.
        patients: (N,).
    """

    predictions: Predictions
    sample: Sample
    patients: Array


def score_side(
    side: str,
    predictions: Predictions,
    records: pd.DataFrame,
    classes: Sequence[str],
    n_replicates: int = N_REPLICATES,
) -> ScoredSide:
    """Combine predictions with labels and replicates.

    Args:
        side: one of SIDES.
        predictions: for N images, with the decision of our validation.
        records: patient and labels of the same images.
        classes: those that are scored.
        n_replicates: number of bootstrap replicates.
    """
    chosen, patients = predictions.select(classes), records["patient"].to_numpy()
    replicates = draw_replicates(patients, np.random.default_rng(SEEDS[side]), n_replicates)
    sample = sample_of(chosen, label_matrix(records, classes), replicates)
    return ScoredSide(chosen, sample, patients)


def score_external(ours: ScoredSide, external: ScoredSide) -> tuple[Scores, pd.DataFrame]:
    """Score the external images, and compare them with our test images.

    Returns:
        The scores of the external images; their headline also has ``gap_<mean>`` (external minus
        ours) and ``our_<mean>`` of each compared mean, and ``gap_findings`` (in the AUROC's means).
        And the table of gaps, columns GAP_COLUMNS.
    """
    scores = measure_sample(external.predictions, external.sample, external.patients)
    gaps = gap_table(ours, external)
    means = {row["measure"]: row for row in gaps[gaps["finding"] == MACRO].to_dict("records")}
    headline: Row = {
        "shared_findings": int(findings_of(external.predictions.classes).sum()),
        "gap_findings": means["auroc"]["findings"],
    }
    for measure, row in means.items():
        headline[f"our_{MACRO}_{measure}"] = row["ours"]
        headline[f"gap_{MACRO}_{measure}"] = row["difference"]
    return replace(scores, headline={**scores.headline, **headline}), gaps


def gap_table(ours: ScoredSide, external: ScoredSide) -> pd.DataFrame:
    """Compare a network on our test images and on an external set.

    Returns:
        A row per compared measure and ``macro`` (mean over the ``findings`` that both sides can
        score) or class, columns GAP_COLUMNS: the scores, and external minus ours.
    """
    classes = ours.predictions.classes
    rows = []
    for measure in (item for item in MEASURES if item.compared):
        first, second = (measure.compute(side.sample) for side in (ours, external))
        both = np.isfinite(first[0]) & np.isfinite(second[0])
        counted = both & findings_of(classes)
        key = {"measure": measure.name, "finding": MACRO, "findings": int(counted.sum())}
        few = _few_of_mean(measure, ours, external, counted)
        rows.append(key | _gap(measure, first[:, counted], second[:, counted], few))
        for column, name in enumerate(classes):
            few = _few_of_class(measure, ours, external, column)
            row = _gap(measure, first[:, [column]], second[:, [column]], few)
            rows.append({"measure": measure.name, "finding": name, **row})
    numbers = dict.fromkeys(GAP_COLUMNS[3:-1], np.float64)
    return pd.DataFrame(rows, columns=GAP_COLUMNS).astype({"findings": "Int64", **numbers})


def _gap(measure: Measure, ours: Floats, external: Floats, few: str | None) -> Row:
    """Return a row of scores and their difference.

    Args:
        measure: of the values.
        ours: (1 + R, K), its mean over K classes is compared.
        external: (1 + R', K).
        few: why there is no interval, or no score; None if there are enough patients.
    """
    if not ours.shape[1]:
        return {"reason": "no finding can be scored on both sides"}
    first, second = ours.mean(axis=1), external.mean(axis=1)
    if few:
        first, second = first[:1], second[:1]
    row: Row = {"reason": few}
    for side, values in zip(SIDES, (first, second), strict=True):
        corrected = np.append(values[:1], measure.replicates(values))
        ends = summary(corrected)[: len(ENDS)]
        row |= dict(zip((f"{side}{end}" for end in ENDS), ends, strict=True))
    gap = _difference(measure, first, second)
    row |= dict(zip(("difference", "low", "high", "dropped_replicates"), gap, strict=True))
    if gap[0] is not None and gap[1] is None and not few:
        row["reason"] = FIXED if gap[3] is None else "too many replicates cannot be scored"
    return row


def _difference(measure: Measure, ours: Floats, external: Floats) -> Score:
    """Return external minus ours and its interval; without one if a side is always the same."""
    values = difference(external, ours)
    return summary(values if len(values) == 1 else measure.difference(external, ours))


def _few_of_mean(
    measure: Measure, ours: ScoredSide, external: ScoredSide, counted: Array
) -> str | None:
    """Return which of the counted findings (C,) have too few patients for an interval, or None."""
    enough = [measure.has_enough_patients(side.sample) for side in (ours, external)]
    few = np.array(ours.predictions.classes)[counted & ~np.logical_and(*enough)]
    return f"no interval: too few patients of {', '.join(few)}" if len(few) else None


def _few_of_class(
    measure: Measure, ours: ScoredSide, external: ScoredSide, column: int
) -> str | None:
    """Return why a class has no score or no interval, or None."""
    reasons, few = [], []
    for side, scored in zip(SIDES, (ours, external), strict=True):
        if reason := unscorable_reason(scored.sample.labels[:, column], side):
            reasons.append(reason)
            continue
        counts = {who: int(scored.sample.patients[who][column]) for who in measure.patients}
        few += [f"{text} ({side})"] if (text := too_few_patients(counts)) else []
    name = ours.predictions.classes[column]
    if measure.needs == "threshold" and name in ours.predictions.reasons:
        reasons.append(ours.predictions.reasons[name])
    reasons += [f"no interval: {'; '.join(few)}"] if few else []
    return "; ".join(reasons) or None


def count_in_training(external: pd.DataFrame, ours: pd.DataFrame, split: pd.DataFrame) -> int:
    """Count the images of a set whose files the network learnt from or was chosen on.

    Files are compared by their SHA-256, so a copy that was written again is not recognized.

    Args:
        external: sha256 of each image of the set (the index of its cache).
        ours: image and sha256 of the index of our cache.
        split: image and split of our images.
    """
    seen = split["image"][split["split"].isin(["train", "val"])]
    hashes = ours["sha256"][ours["image"].isin(seen.tolist())]
    return int(external["sha256"].isin(hashes.tolist()).sum())
