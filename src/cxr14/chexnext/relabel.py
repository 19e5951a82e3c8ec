"""Relabelling of train and val by the average of the members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from cxr14.chexnext.ensemble import Floats, Logits, mean_probability
from cxr14.chexnext.folds import NO_FOLD, relabelling_members
from cxr14.chexnext.label_noise import SPLITS, with_no_finding
from cxr14.errors import UserError
from cxr14.labels import without_no_finding
from cxr14.metrics.auroc import Array
from cxr14.metrics.calibration import highest_f1

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
    for column, name in enumerate(classes):
        limit = thresholds.get(name)
        if limit is not None:
            present[:, column] = probabilities[:, column] >= limit
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
        rows: int64 (M,), their indices.
        present: (M, C) the binarized predictions.
        classes: C names.
        mode: `replace` takes the predictions, `union` also keeps the old positives.
    """
    new = images.copy()
    for index, name in enumerate(classes):
        if name in without_no_finding(classes):
            column = images[name].to_numpy().copy()
            kept = (column[rows] > 0) & (mode == "union")
            column[rows] = present[:, index] | kept
            new[name] = column
    return with_no_finding(new, rows)


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
        first = before.loc[outside, "image"].to_numpy()[changed]
        raise UserError(
            f"relabelling reached {changed.sum()} image(s) outside of train and val"
            f"{f', first {first[0]}' if len(first) else ''}: that would leak into test"
        )


def _differ(first: pd.Series, second: pd.Series) -> npt.NDArray[np.bool_]:
    """Say where two columns (N,) differ; two empty cells do not."""
    first, second = first.reset_index(drop=True), second.reset_index(drop=True)
    equal = (first == second).fillna(False).to_numpy(bool)
    return ~(equal | (first.isna() & second.isna()).to_numpy(bool))


# Relabelling by fold.


EPSILON = 1e-9


@dataclass(frozen=True)
class Relabelling:
    """Mean probabilities of the members for each image, and the new labels.

    Attributes:
        probabilities: float64 (N, C); NaN where no member relabels (test).
        present: (N, C) whether each class is called; the old labels where no member relabels.
        limits: float64 (N, C), the threshold of each; NaN where missing.
        margins: float64 (N, C), logit of the probability less that of its limit; NaN likewise.
        thresholds: by fold, then by finding; NO_FOLD is val.
    """

    probabilities: Floats
    present: npt.NDArray[np.bool_]
    limits: Floats
    margins: Floats
    thresholds: dict[int, Thresholds]


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
        count: how many folds there are.
        folds: (N,) the fold of a train image; NO_FOLD for all others.
        val: (N,) which images are in val.
        labels: (N, C) as they were.
        classes: C names.
    """
    shape = np.shape(labels)
    probabilities, limits = np.full(shape, np.nan), np.full(shape, np.nan)
    present, thresholds = np.asarray(labels) > 0, {}
    for fold in [NO_FOLD, *range(count)]:
        chosen_rows = val if fold == NO_FOLD else folds == fold
        mean = mean_probability(
            [logits[name] for name in relabelling_members(list(logits), fold_of, fold, count)]
        )
        fold_thresholds = thresholds[fold] = thresholds_of(labels[val], mean[val], classes)
        probabilities[chosen_rows] = mean[chosen_rows]
        present[chosen_rows] = called(
            mean[chosen_rows], fold_thresholds, classes, labels[chosen_rows]
        )
        limits[chosen_rows] = np.array(
            [fold_thresholds.get(name) for name in classes], np.float64
        )  # None: NaN
    margins = _logit(probabilities) - _logit(limits)
    return Relabelling(probabilities, present, limits, margins, thresholds)


def _logit(probabilities: Floats) -> Floats:
    """Return the logits of (N, C) probabilities, clipped to [EPSILON, 1 − EPSILON]."""
    return np.asarray(logit(np.clip(probabilities, EPSILON, 1 - EPSILON)))


# Label changes: `added` where a label became positive, `removed` where it became negative. No
# Finding follows from the findings and is not counted.


Bools = npt.NDArray[np.bool_]
Row = dict[str, Any]
ALL = "all findings"
UNKNOWN = "the truth is known of phantoms only"
REPAIRED = (
    "wrong_before",
    "wrong_after",
    "noise_repaired",
    "added_precision",
    "added_recall",
    "removed_precision",
    "removed_recall",
)


def label_changes_table(
    before: Bools,
    after: Bools,
    true: Bools | None,
    splits: npt.NDArray[Any],
    findings: Sequence[str],
) -> pd.DataFrame:
    """Count the label changes by split and finding, and over all findings.

    Args:
        before: (N, F) labels before relabelling.
        after: (N, F) labels after it.
        true: (N, F) the true labels, or None if unknown.
        splits: (N,) train, val or test.
        findings: F names.

    Returns:
        part (train, val), finding, images, positives and prevalence before and after, added,
        removed, survived (share of the positives before that still are); and, where the truth
        is known, see :func:`repaired`. Empty cells have their `reason`.
    """
    rows = []
    for split in ("train", "val"):
        inside = splits == split
        for column, finding in [*enumerate(findings), (slice(None), ALL)]:
            old, new = before[inside][:, column].ravel(), after[inside][:, column].ravel()
            truth = None if true is None else true[inside][:, column].ravel()
            rows.append(
                {"part": split, "finding": finding, **count(old, new), **repaired(old, new, truth)}
            )
    return pd.DataFrame(rows)


def count(old: Bools, new: Bools) -> Row:
    """Count the changes among n labels (n,) before and after."""
    positives = int(old.sum())
    return {
        "labels": len(old),
        "positives_before": positives,
        "positives_after": int(new.sum()),
        "prevalence_before": share(positives, len(old)),
        "prevalence_after": share(int(new.sum()), len(old)),
        "added": int((new & ~old).sum()),
        "removed": int((old & ~new).sum()),
        "survived": share(int((old & new).sum()), positives),
    }


def repaired(old: Bools, new: Bools, true: Bools | None) -> Row:
    """Return how much of the label noise is corrected.

    Precision of the added: the share that is truly positive; recall: the share of the missed
    positives that were added. Of the removed likewise: truly negative, and share of the wrong
    labels. `noise_repaired` is 1 − wrong labels after ÷ before; negative if there are more.
    """
    if true is None:
        return dict.fromkeys(REPAIRED) | {"reason": UNKNOWN}
    added, removed = new & ~old, old & ~new
    missed, wrong = true & ~old, old & ~true
    before, after = int((old != true).sum()), int((new != true).sum())
    left = share(after, before)
    values: list[float | None] = [before, after, None if left is None else 1 - left]
    for changes, errors in ((added, missed), (removed, wrong)):
        right = int((changes & errors).sum())
        values += [share(right, int(changes.sum())), share(right, int(errors.sum()))]
    return dict(zip(REPAIRED, values, strict=True)) | {"reason": _reason(added, removed)}


def _reason(added: Bools, removed: Bools) -> str | None:
    none = [name for name, changes in (("added", added), ("removed", removed)) if not changes.any()]
    return f"no label was {' or '.join(none)}" if none else None


def share(numerator: int, denominator: int) -> float | None:
    """Return numerator ÷ denominator, None if the denominator is 0."""
    return numerator / denominator if denominator else None


def most_confident(
    before: Bools,
    after: Bools,
    margins: npt.NDArray[np.float64],
    findings: Sequence[str],
    direction: str,
    wanted: int,
    of_finding: int = 2,
) -> list[tuple[int, int]]:
    """List the label changes with the largest margins, a few of each finding.

    Args:
        before: (N, F) labels before.
        after: (N, F) labels after.
        margins: (N, F) logit of the mean probability less that of the threshold.
        findings: F names.
        direction: added or removed.
        wanted: how many.
        of_finding: maximum number per finding.

    Returns:
        Indices (image, finding), the most confident first.
    """
    changed = (after & ~before) if direction == "added" else (before & ~after)
    beyond = np.where(changed, np.abs(margins), -np.inf)
    order = np.argsort(-beyond, axis=None, kind="stable")
    indices = np.stack(np.unravel_index(order, beyond.shape), axis=1)
    chosen: list[tuple[int, int]] = []
    counts = dict.fromkeys(range(len(findings)), 0)
    for image, finding in indices[: int(changed.sum())].tolist():
        if len(chosen) < wanted and counts[finding] < of_finding:
            chosen.append((image, finding))
            counts[finding] += 1
    return chosen
