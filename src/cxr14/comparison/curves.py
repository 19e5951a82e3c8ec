"""Curves of all networks in one table each, for `dvc plots`, few enough points to draw.

Beside each finding stands ``macro``, the mean of the findings' curves: true positive rates at
equal false positive rates, precisions at equal recalls, F1 at equal thresholds (by steps: a line
between points of a precision-recall curve is too high, Davis and Goadrich 2006). Its reliability
curve is of all findings' answers together.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from cxr14.comparison.answers import Answers
from cxr14.comparison.names import MACRO
from cxr14.data.labels import label_matrix
from cxr14.evaluation.curves import (
    precision_recall_points,
    reliability_points,
    roc_points,
    threshold_f1_points,
)
from cxr14.findings import NO_FINDING
from cxr14.ranking import Array, Floats, scorable

POINTS: Final = 60
AXES: Final = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "pr": ["recall", "precision"],
    "reliability": ["predicted", "observed"],
    "threshold_f1": ["threshold", "f1"],
}
"""Curves, and the columns on their axes."""

Curves = dict[str, pd.DataFrame]


def curve_tables(records: pd.DataFrame, answers: Mapping[str, Answers], phantom: bool) -> Curves:
    """Draw up the curves of all networks.

    Args:
        records: of the N test images, in the order of the answers.
        answers: by backbone.
        phantom: whether pixels are simulated; a column, from which the plot takes its note.

    Returns:
        By name of AXES a table: backbone, finding, the axes, phantom (0 or 1); ``macro`` first,
        then the classes that can be scored. Reliability is of Platt-scaled probabilities.
    """
    parts: dict[str, list[pd.DataFrame]] = {
        name: [pd.DataFrame(columns=["backbone", "finding", *axes])] for name, axes in AXES.items()
    }
    for backbone, own in answers.items():
        for finding, curves in _curves_of(own, label_matrix(records, own.classes)):
            for name, curve in curves.items():
                parts[name].append(curve.assign(backbone=backbone, finding=finding))
    return {
        name: pd.concat(tables[1:] or tables)[list(tables[0])].assign(phantom=int(phantom))
        for name, tables in parts.items()
    }


def _curves_of(answers: Answers, labels: Array) -> Iterator[tuple[str, Curves]]:
    """Yield the curves of ``macro`` and of each class of one network."""
    known = [i for i in range(len(answers.classes)) if scorable(labels[:, i])]
    whole = {i: _class_curves(answers, labels, i) for i in known}
    findings = [i for i in known if answers.classes[i] != NO_FINDING]
    if findings:
        yield (
            MACRO,
            {
                **_mean_curves([whole[i] for i in findings]),
                **_reliability(
                    labels[:, findings].ravel(), answers.calibrated[:, findings].ravel()
                ),
            },
        )
    for i, curves in whole.items():
        yield answers.classes[i], {name: thinned(curve, name) for name, curve in curves.items()}


def _class_curves(answers: Answers, labels: Array, column: int) -> Curves:
    own, logits = labels[:, column], answers.logits[:, column]
    return {
        "roc": roc_points(own, logits),
        "pr": precision_recall_points(own, logits),
        **_reliability(own, answers.calibrated[:, column]),
        "threshold_f1": threshold_f1_points(own, answers.probabilities[:, column]),
    }


def _reliability(labels: Array, calibrated: Floats) -> Curves:
    """Return the reliability curve of the answers that could be scaled, if there are any."""
    known = np.isfinite(calibrated)
    if not known.any():
        return {}
    return {"reliability": reliability_points(labels[known], calibrated[known])}


def thinned(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Keep at most 60 points of a curve, its ends and its highest point among them."""
    if len(curve) <= POINTS:
        return curve
    top = int(np.argmax(curve[AXES[name][1]].to_numpy()))
    even = np.linspace(0, len(curve) - 1, POINTS - 1).round().astype(int)
    return curve.iloc[np.union1d(even, top)]


def _mean_curves(curves: list[Curves]) -> Curves:
    """Mean of the findings' curves over 60 places of the horizontal axis."""
    places = np.linspace(0, 1, POINTS)
    made = {}
    for name, height in (("roc", _on_lines), ("pr", _on_steps), ("threshold_f1", _on_steps)):
        across, up = AXES[name]
        heights = [height(own[name][across], own[name][up], places) for own in curves]
        made[name] = pd.DataFrame({across: places, up: np.mean(heights, axis=0)})
    return made


def _on_lines(across: "pd.Series[float]", up: "pd.Series[float]", places: Floats) -> Floats:
    """Heights of a rising curve; of several points above each other the highest."""
    highest = up.groupby(across).max()
    return np.interp(places, highest.index.to_numpy(), highest.to_numpy())


def _on_steps(across: "pd.Series[float]", up: "pd.Series[float]", places: Floats) -> Floats:
    """Heights at the first point at or right of each place; 0 right of the last."""
    return np.append(up.to_numpy(), 0.0)[np.searchsorted(across.to_numpy(), places)]
