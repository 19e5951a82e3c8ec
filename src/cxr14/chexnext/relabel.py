"""New labels from the members' average, within train and val only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from cxr14.chexnext.ensemble import Floats, Logits, mean_probability
from cxr14.chexnext.folds import NO_FOLD, judges
from cxr14.chexnext.label_noise import PARTS, with_no_finding
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


# Who relabels what, at which thresholds: the step from the members' answers to new labels.


LEAST = 1e-9


@dataclass(frozen=True)
class Judgement:
    """The average over the judges of each image, and the answers.

    Attributes:
        probabilities: float64 (N, C); NaN where nobody judges (test).
        present: (N, C) whether each class is called; the old labels where nobody judges.
        limits: float64 (N, C), the threshold that each was held against; NaN where there is none.
        margins: float64 (N, C), logit of the probability less that of its limit; NaN likewise.
        thresholds: by fold, then by finding; NO_FOLD is val.
    """

    probabilities: Floats
    present: npt.NDArray[np.bool_]
    limits: Floats
    margins: Floats
    thresholds: dict[int, Thresholds]


def judge(
    answers: Mapping[str, Logits],
    fold_of: Mapping[str, int],
    count: int,
    folds: npt.NDArray[np.int64],
    val: npt.NDArray[np.bool_],
    labels: Array,
    classes: Sequence[str],
) -> Judgement:
    """Let every image of train and val be judged by the members that may.

    Each group of judges has thresholds of its own, chosen on validation by the average of just
    these judges: the average of two networks is not scaled as that of more.

    Args:
        answers: logits (N, C) of the selected members, by name.
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
        judged = val if fold == NO_FOLD else folds == fold
        mean = mean_probability(
            [answers[name] for name in judges(list(answers), fold_of, fold, count)]
        )
        own = thresholds[fold] = thresholds_of(labels[val], mean[val], classes)
        probabilities[judged] = mean[judged]
        present[judged] = called(mean[judged], own, classes, labels[judged])
        limits[judged] = np.array([own.get(name) for name in classes], np.float64)  # None: NaN
    margins = _logit(probabilities) - _logit(limits)
    return Judgement(probabilities, present, limits, margins, thresholds)


def _logit(probabilities: Floats) -> Floats:
    """Return the logits of (N, C), of certainty, 0 or 1, that of nearly."""
    return np.asarray(logit(np.clip(probabilities, LEAST, 1 - LEAST)))


# What relabelling did: flips in both directions, and on phantoms how many of them are right.
#
# A flip is a label of a finding that relabelling changed: `added` where it became positive,
# `removed` where it no longer is. No Finding follows from the findings and is not counted.


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


def flips_table(
    before: Bools,
    after: Bools,
    true: Bools | None,
    parts: npt.NDArray[Any],
    findings: Sequence[str],
) -> pd.DataFrame:
    """Count the flips by part and finding, and over all findings.

    Args:
        before: (N, F) labels before relabelling.
        after: (N, F) labels after it.
        true: (N, F) the truth, None if nobody knows it.
        parts: (N,) train, val or test.
        findings: F names.

    Returns:
        part (train, val), finding, images, positives and prevalence before and after, added,
        removed, survived (share of the positives before that still are); and, where the truth
        is known, see :func:`repaired`. Empty cells have their `reason`.
    """
    rows = []
    for part in ("train", "val"):
        inside = parts == part
        for place, finding in [*enumerate(findings), (slice(None), ALL)]:
            old, new = before[inside][:, place].ravel(), after[inside][:, place].ravel()
            truth = None if true is None else true[inside][:, place].ravel()
            rows.append(
                {"part": part, "finding": finding, **count(old, new), **repaired(old, new, truth)}
            )
    return pd.DataFrame(rows)


def count(old: Bools, new: Bools) -> Row:
    """Count the flips among n labels (n,) before and after."""
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
    """Say how much of the noise relabelling repairs.

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
    for flips, errors in ((added, missed), (removed, wrong)):
        right = int((flips & errors).sum())
        values += [share(right, int(flips.sum())), share(right, int(errors.sum()))]
    return dict(zip(REPAIRED, values, strict=True)) | {"reason": _reason(added, removed)}


def _reason(added: Bools, removed: Bools) -> str | None:
    none = [name for name, own in (("added", added), ("removed", removed)) if not own.any()]
    return f"no label was {' or '.join(none)}" if none else None


def share(part: int, whole: int) -> float | None:
    """Return part ÷ whole, None of nothing."""
    return part / whole if whole else None


def most_confident(
    before: Bools,
    after: Bools,
    margins: npt.NDArray[np.float64],
    findings: Sequence[str],
    direction: str,
    wanted: int,
    of_finding: int = 2,
) -> list[tuple[int, int]]:
    """List the flips farthest beyond their threshold, a few of each finding.

    Args:
        before: (N, F) labels before.
        after: (N, F) labels after.
        margins: (N, F) logit of the mean probability less that of the threshold.
        findings: F names.
        direction: added or removed.
        wanted: how many.
        of_finding: at most so many of a finding.

    Returns:
        Positions (image, finding), the most confident first.
    """
    flipped = (after & ~before) if direction == "added" else (before & ~after)
    beyond = np.where(flipped, np.abs(margins), -np.inf)
    order = np.argsort(-beyond, axis=None, kind="stable")
    places = np.stack(np.unravel_index(order, beyond.shape), axis=1)
    chosen: list[tuple[int, int]] = []
    taken = dict.fromkeys(range(len(findings)), 0)
    for image, finding in places[: int(flipped.sum())].tolist():
        if len(chosen) < wanted and taken[finding] < of_finding:
            chosen.append((image, finding))
            taken[finding] += 1
    return chosen
