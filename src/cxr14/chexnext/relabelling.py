"""New labels from the members' average, within train and val only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.averaging import Floats
from cxr14.chexnext.noise import PARTS, with_no_finding
from cxr14.errors import UserError
from cxr14.evaluation.thresholds import highest_f1
from cxr14.findings import without_no_finding
from cxr14.ranking import Array

Thresholds = dict[str, float | None]


def thresholds_of(labels: Array, probabilities: Floats, classes: Sequence[str]) -> Thresholds:
    """Find each finding's threshold of highest F1 on N validation images.

    Args:
        labels: (N, C) of 0 and 1, as they were before relabelling.
        probabilities: (N, C), the average of the networks that will relabel.
        classes: C names.

    Returns:
        By finding; None where validation lacks positives or negatives: it is not relabelled.
    """
    columns = enumerate(classes)
    limits = {name: highest_f1(labels[:, i], probabilities[:, i]) for i, name in columns}
    return {name: limits[name] for name in without_no_finding(classes)}


def called(
    probabilities: Floats, thresholds: Thresholds, classes: Sequence[str], old: Array
) -> npt.NDArray[np.bool_]:
    """Binarise (N, C) probabilities; a finding without threshold keeps its old labels (N, C)."""
    present = np.asarray(old) > 0
    for place, name in enumerate(classes):
        limit = thresholds.get(name)
        if limit is not None:
            present[:, place] = probabilities[:, place] >= limit
    return present


def rewrite(
    images: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    classes: Sequence[str],
    mode: str,
) -> pd.DataFrame:
    """Write new labels into some rows of the records; No Finding of these rows follows from them.

    Args:
        images: the records (N rows).
        rows: int64 (M,), positions in them.
        present: (M, C) the members' answers.
        classes: C names.
        mode: `replace` takes the answers, `union` also keeps the positives that were there.
    """
    new = images.copy()
    for place, name in enumerate(classes):
        if name in without_no_finding(classes):
            column = images[name].to_numpy().copy()
            kept = (column[rows] > 0) & (mode == "union")
            column[rows] = present[:, place] | kept
            new[name] = column
    return with_no_finding(new, rows)


def check_only_train_val(
    before: pd.DataFrame, after: pd.DataFrame, parts: npt.NDArray[Any]
) -> None:
    """Make sure that relabelling changed nothing but labels of train and val.

    Args:
        before: the records before, N rows.
        after: the records after.
        parts: (N,) train, val or test.

    Raises:
        UserError: another row differs, or the tables do not list the same images.
    """
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        raise UserError("the relabelled table has other rows or columns than the one before")
    outside = ~np.isin(parts, PARTS)
    pairs = [(before[name][outside], after[name][outside]) for name in before.columns]
    strayed = np.any([_differ(*pair) for pair in pairs], axis=0)
    if strayed.any() or before["image"].tolist() != after["image"].tolist():
        first = before.loc[outside, "image"].to_numpy()[strayed]
        raise UserError(
            f"relabelling reached {strayed.sum()} image(s) outside of train and val"
            f"{f', first {first[0]}' if len(first) else ''}: that would leak into test"
        )


def _differ(one: pd.Series, other: pd.Series) -> npt.NDArray[np.bool_]:
    """Say where two columns (N,) differ; two empty cells do not."""
    one, other = one.reset_index(drop=True), other.reset_index(drop=True)
    equal = (one == other).fillna(False).to_numpy(bool)
    return ~(equal | (one.isna() & other.isna()).to_numpy(bool))
