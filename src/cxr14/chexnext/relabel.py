"""Relabelling of train and val by the average of the members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from cxr14.chexnext.ensemble import mean_probability
from cxr14.chexnext.folds import NO_FOLD, check_member, folds_of, relabelling_members
from cxr14.chexnext.label_noise import SPLITS, with_no_finding
from cxr14.chexnext.paths import RELABELLED, CachedImages, NetworkPaths, read_logits
from cxr14.errors import UserError
from cxr14.evaluation.predictions import Logits
from cxr14.io import write_npy, write_parquet
from cxr14.labels import label_matrix, without_no_finding
from cxr14.metrics.auroc import Array, Floats
from cxr14.metrics.calibration import highest_f1

EPSILON = 1e-9
Thresholds = dict[str, float | None]


@dataclass(frozen=True)
class Relabelling:
    """Mean probabilities of the members for each image, and the new labels.

    Attributes:
        probabilities: float64 (N, C); NaN where no member relabels (test).
        present: (N, C) new labels; the old ones where no member relabels.
        limits: float64 (N, C), the threshold of each; NaN where missing.
        margins: float64 (N, C), logit of the probability minus that of its threshold; NaN likewise.
        thresholds: by fold, then by finding; NO_FOLD is val.
    """

    probabilities: Floats
    present: npt.NDArray[np.bool_]
    limits: Floats
    margins: Floats
    thresholds: dict[int, Thresholds]


def relabel_by_members(
    members: Sequence[NetworkPaths],
    fold_of: Mapping[str, int],
    count: int,
    cached: CachedImages,
    classes: Sequence[str],
) -> Relabelling:
    """Relabel the images of the cache by the logits of the members, see :func:`relabel`.

    Args:
        members: the selected ones.
        fold_of: the fold that each leaves out, by name.
        count: number of folds.
        cached: the images of the cache, with the old labels.
        classes: C names.

    Raises:
        UserError: a member was trained with another split, or would relabel an image that it was
            trained on.
    """
    names = cached.images["image"]
    folds = folds_of(names, cached.within("train"), count)
    for member in members if count > 1 else ():
        fold = fold_of[member.name]
        check_member(member, fold, names[folds == fold])
    n_images, labels = len(cached.rows), label_matrix(cached.images, classes)
    logits = {member.name: read_logits(member.logits, n_images, classes) for member in members}
    return relabel(logits, fold_of, count, folds, cached.within("val"), labels, classes)


def relabel(
    logits: Mapping[str, Logits],
    fold_of: Mapping[str, int],
    count: int,
    folds: npt.NDArray[np.int64],
    val: npt.NDArray[np.bool_],
    labels: Array,
    classes: Sequence[str],
) -> Relabelling:
    """Relabel each image of train and val by the members that were not trained on it.

    Each fold has its own thresholds, chosen on validation by the average of its members, as the
    scale of the average depends on their number.

    Args:
        logits: logits (N, C) of the selected members, by name.
        fold_of: the fold that each leaves out.
        count: number of folds.
        folds: (N,) the fold of a train image; NO_FOLD for all others.
        val: (N,) which images are in val.
        labels: (N, C) old labels.
        classes: C names.
    """
    shape = np.shape(labels)
    probabilities, limits = np.full(shape, np.nan), np.full(shape, np.nan)
    present, thresholds = np.asarray(labels) > 0, {}
    for fold in [NO_FOLD, *range(count)]:
        rows = val if fold == NO_FOLD else folds == fold
        names = relabelling_members(list(logits), fold_of, fold, count)
        mean = mean_probability([logits[name] for name in names])
        of_fold = thresholds[fold] = f1_thresholds(labels[val], mean[val], classes)
        probabilities[rows] = mean[rows]
        present[rows] = binarize(mean[rows], of_fold, classes, labels[rows])
        limits[rows] = np.array([of_fold.get(name) for name in classes], np.float64)  # None: NaN
    margins = _logit(probabilities) - _logit(limits)
    return Relabelling(probabilities, present, limits, margins, thresholds)


def _logit(probabilities: Floats) -> Floats:
    """Return the logits of (N, C) probabilities, clipped to [EPSILON, 1 − EPSILON]."""
    return np.asarray(logit(np.clip(probabilities, EPSILON, 1 - EPSILON)))


def f1_thresholds(labels: Array, probabilities: Floats, classes: Sequence[str]) -> Thresholds:
    """Find each finding's threshold of highest F1 on N validation images.

    Args:
        labels: (N, C) of 0 and 1, old labels.
        probabilities: (N, C), the average of the members that relabel.
        classes: C names.

    Returns:
        By finding; None where validation lacks positives or negatives: it is not relabelled.
    """
    columns = {name: index for index, name in enumerate(classes)}
    return {
        name: highest_f1(labels[:, columns[name]], probabilities[:, columns[name]])
        for name in without_no_finding(classes)
    }


def binarize(
    probabilities: Floats, thresholds: Thresholds, classes: Sequence[str], labels: Array
) -> npt.NDArray[np.bool_]:
    """Binarize (N, C) probabilities; a finding without threshold keeps its old labels (N, C)."""
    present = np.asarray(labels) > 0
    for column, name in enumerate(classes):
        threshold = thresholds.get(name)
        if threshold is not None:
            present[:, column] = probabilities[:, column] >= threshold
    return present


def relabelled_records(
    records: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    classes: Sequence[str],
    mode: str,
) -> pd.DataFrame:
    """Return the records with new labels in some rows, and No Finding recomputed there.

    Args:
        records: N rows.
        rows: int64 (M,), indices of the rows to relabel.
        present: (M, C) the binarized predictions.
        classes: C names.
        mode: `replace` takes the predictions, `union` also keeps the old positives.
    """
    new = records.copy()
    for name in without_no_finding(classes):
        column = records[name].to_numpy().copy()
        kept = (column[rows] > 0) & (mode == "union")
        column[rows] = present[:, list(classes).index(name)] | kept
        new[name] = column
    return with_no_finding(new, rows)


def write_relabelled(
    records: pd.DataFrame,
    cached: CachedImages,
    split: pd.DataFrame,
    relabelling: Relabelling,
    classes: Sequence[str],
    mode: str,
) -> pd.DataFrame:
    """Write the new labels of train and val, those of train only, and the probabilities.

    Args:
        records: with the old labels.
        cached: the same for the images of the cache.
        split: data/split.
        relabelling: of the images of the cache.
        classes: C names.
        mode: replace or union.

    Returns:
        The relabelled records of the images of the cache, in its order.
    """
    subsets = {"labels": cached.within("train", "val"), "students": cached.within("train")}
    tables = {
        name: relabelled_records(
            records, cached.rows[subset], relabelling.present[subset], classes, mode
        )
        for name, subset in subsets.items()
    }
    for table in tables.values():
        check_only_train_val(records, table, split["split"].to_numpy(str))
    for name, table in tables.items():
        write_parquet(RELABELLED / f"{name}.parquet", table)
    write_npy(RELABELLED / "probabilities.npy", relabelling.probabilities.astype(np.float32))
    return tables["labels"].iloc[cached.rows].reset_index(drop=True)


def check_only_train_val(
    before: pd.DataFrame, after: pd.DataFrame, splits: npt.NDArray[Any]
) -> None:
    """Check that relabelling changed only rows of train and val.

    Args:
        before: the records before, N rows.
        after: the records after.
        splits: (N,) train, val or test.

    Raises:
        UserError: another row differs, or the tables do not list the same images.
    """
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        raise UserError("the relabelled table has other rows or columns than the one before")
    outside = ~np.isin(splits, SPLITS)
    pairs = [(before[name][outside], after[name][outside]) for name in before.columns]
    changed = np.any([_differ(*pair) for pair in pairs], axis=0)
    if changed.any() or before["image"].tolist() != after["image"].tolist():
        images = before.loc[outside, "image"].to_numpy()[changed]
        raise UserError(
            f"relabelling reached {changed.sum()} image(s) outside of train and val"
            f"{f', first {images[0]}' if len(images) else ''}: that would leak into test"
        )


def _differ(before: pd.Series, after: pd.Series) -> npt.NDArray[np.bool_]:
    """Return where two columns (N,) differ; two empty cells do not."""
    before, after = before.reset_index(drop=True), after.reset_index(drop=True)
    equal = (before == after).fillna(False).to_numpy(bool)
    return ~(equal | (before.isna() & after.isna()).to_numpy(bool))
