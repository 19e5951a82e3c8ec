"""Label changes, and agreement with radiologist-adjudicated labels before and after relabelling.

A label that became positive is `added`, one that became negative is `removed`. No Finding follows
from the findings and is not counted.

The adjudicated images are the 2,414 of train-val (cxr14.evaluation.adjudicated). Images of val are
relabelled by networks that were not trained on them; those of train too, with cross-fitting. Labels
before and after are compared on the same bootstrap replicates of patients.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.paths import ROOT, CachedImages
from cxr14.chexnext.relabel import Relabelling
from cxr14.datasets.records import PHANTOM_NOTE, Source, read_records, write_result, write_table
from cxr14.evaluation.adjudicated import MAPPING, read_adjudicated
from cxr14.labels import NO_FINDING_COLUMN, without_no_finding
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import (
    ENDS,
    N_REPLICATES,
    SEED,
    Replicates,
    draw_replicates,
    patients_by_class,
    too_few_patients,
    weighted_sums,
)
from cxr14.metrics.intervals import difference, interval_columns, without_interval

Bools = npt.NDArray[np.bool_]
Row = dict[str, Any]

ALL: Final = "all findings"
UNKNOWN: Final = "the truth is known of phantoms only"
REPAIRED: Final = (
    "wrong_before",
    "wrong_after",
    "noise_repaired",
    "added_precision",
    "added_recall",
    "removed_precision",
    "removed_recall",
)


def write_label_changes(
    cached: CachedImages,
    after: pd.DataFrame,
    relabelling: Relabelling,
    classes: Sequence[str],
    source: Source,
) -> pd.DataFrame:
    """Write metrics/relabel.json, its tables and plots/relabel.csv; return the label changes.

    Args:
        cached: the images of the cache, with the old labels.
        after: their records with the new labels.
        relabelling: of these images.
        classes: of the members.
        source: of the images; the truth is known of phantoms.
    """
    findings, train = without_no_finding(classes), cached.within("train")
    old, new = (table[findings].to_numpy() > 0 for table in (cached.images, after))
    true = None
    if source.phantom:
        true = read_records().iloc[cached.rows][findings].to_numpy() > 0
    changes = label_changes_table(old, new, true, cached.splits, findings)
    adjudicated = read_adjudicated(split="val")
    tables = {
        "label_changes": changes,
        "thresholds": thresholds_table(relabelling),
        "adjudicated": agreement_table(
            cached.images, after, cached.splits, adjudicated, MAPPING, source
        ),
    }
    for name, table in tables.items():
        write_table(ROOT / f"metrics/relabel/{name}.csv", table, source)
    sample = confident_changes(cached.images, after, true, relabelling, classes)
    write_table(ROOT / "plots/relabel.csv", sample, source)
    summary = headline(changes, cached.images[train], after[train])
    write_result(ROOT / "metrics/relabel.json", summary, source)
    return changes


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
        split (train, val), finding, labels, positives and prevalence before and after, added,
        removed, survived (share of the old positives that are still positive); if the truth is
        known the columns of :func:`repaired`; reason, where cells are empty.
    """
    rows = []
    for split in ("train", "val"):
        inside = splits == split
        for column, finding in [*enumerate(findings), (slice(None), ALL)]:
            old, new = before[inside][:, column].ravel(), after[inside][:, column].ravel()
            truth = None if true is None else true[inside][:, column].ravel()
            key = {"split": split, "finding": finding}
            rows.append(key | count_changes(old, new) | repaired(old, new, truth))
    return pd.DataFrame(rows)


def count_changes(before: Bools, after: Bools) -> Row:
    """Count the changes of n labels (n,)."""
    positives = int(before.sum())
    return {
        "labels": len(before),
        "positives_before": positives,
        "positives_after": int(after.sum()),
        "prevalence_before": share(positives, len(before)),
        "prevalence_after": share(int(after.sum()), len(before)),
        "added": int((after & ~before).sum()),
        "removed": int((before & ~after).sum()),
        "survived": share(int((before & after).sum()), positives),
    }


def repaired(before: Bools, after: Bools, true: Bools | None) -> Row:
    """Return how much of the label noise is corrected, of n labels (n,).

    Precision of the added labels is the share that is truly positive, recall the share of the
    missed positives that were added. Precision of the removed is the share that is truly negative,
    recall the share of the wrong labels that were removed. `noise_repaired` is 1 − wrong labels
    after ÷ before, negative if there are more.
    """
    if true is None:
        return dict.fromkeys(REPAIRED) | {"reason": UNKNOWN}
    changes = {"added": after & ~before, "removed": before & ~after}
    errors = {"added": true & ~before, "removed": before & ~true}
    wrong_before, wrong_after = int((before != true).sum()), int((after != true).sum())
    left = share(wrong_after, wrong_before)
    values: list[float | None] = [wrong_before, wrong_after, None if left is None else 1 - left]
    for name, changed in changes.items():
        corrected = int((changed & errors[name]).sum())
        values += [share(corrected, int(n.sum())) for n in (changed, errors[name])]
    none = [name for name, changed in changes.items() if not changed.any()]
    reason = f"no label was {' or '.join(none)}" if none else None
    return dict(zip(REPAIRED, values, strict=True)) | {"reason": reason}


def share(numerator: int, denominator: int) -> float | None:
    """Return numerator ÷ denominator, None if the denominator is 0."""
    return numerator / denominator if denominator else None


def thresholds_table(relabelling: Relabelling) -> pd.DataFrame:
    """List the thresholds: images (train fold F, or val), finding, threshold (empty: none)."""
    rows = [
        {
            "images": "val" if fold == NO_FOLD else f"train fold {fold}",
            "finding": name,
            "threshold": threshold,
        }
        for fold, thresholds in relabelling.thresholds.items()
        for name, threshold in thresholds.items()
    ]
    return pd.DataFrame(rows)


def headline(changes: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> Row:
    """Return the content of metrics/relabel.json: label changes in train, share of No Finding.

    Args:
        changes: see :func:`label_changes_table`.
        before: the records of the train images (N rows).
        after: the same, relabelled.
    """
    row = changes[(changes["split"] == "train") & (changes["finding"] == ALL)].iloc[0]
    cells = row.drop(["split", "finding", "reason"]).items()
    numbers = {str(name): value for name, value in cells}
    for name, table in (("before", before), ("after", after)):
        numbers[f"no_finding_{name}"] = float(table[NO_FINDING_COLUMN].mean())
    return numbers


def most_confident(
    before: Bools,
    after: Bools,
    margins: Floats,
    findings: Sequence[str],
    direction: str,
    count: int,
    count_per_finding: int = 2,
) -> list[tuple[int, int]]:
    """List the label changes with the largest margins.

    Args:
        before: (N, F) labels before.
        after: (N, F) labels after.
        margins: (N, F) logit of the mean probability minus that of the threshold.
        findings: F names.
        direction: added or removed.
        count: maximum number.
        count_per_finding: maximum number of each finding.

    Returns:
        Indices (image, finding), the largest margin first.
    """
    changed = (after & ~before) if direction == "added" else (before & ~after)
    sizes = np.where(changed, np.abs(margins), -np.inf)
    order = np.argsort(-sizes, axis=None, kind="stable")
    indices = np.stack(np.unravel_index(order, sizes.shape), axis=1)
    chosen: list[tuple[int, int]] = []
    counts = dict.fromkeys(range(len(findings)), 0)
    for image, finding in indices[: int(changed.sum())].tolist():
        if len(chosen) < count and counts[finding] < count_per_finding:
            chosen.append((image, finding))
            counts[finding] += 1
    return chosen


ON_SHEET: Final = 12
"""Label changes of each direction in plots/relabel.csv."""

CONFIDENT: Final = ["image", "finding", "direction", "probability", "threshold", "right"]


def confident_changes(
    before: pd.DataFrame,
    after: pd.DataFrame,
    true: Bools | None,
    relabelling: Relabelling,
    classes: Sequence[str],
) -> pd.DataFrame:
    """List the most confident label changes of both directions, at most two of a finding.

    Args:
        before: the records of N images.
        after: the same, relabelled.
        true: (N, F) the true labels of the findings among the classes; None if unknown.
        relabelling: of these images.
        classes: C names of its columns.

    Returns:
        image, finding, direction (added or removed), probability, threshold, right (whether the
        new label is the true one; null if unknown), the farthest beyond its threshold first.
    """
    findings = without_no_finding(classes)
    columns = [list(classes).index(name) for name in findings]
    old, new = (table[findings].to_numpy() > 0 for table in (before, after))
    margins, rows = np.nan_to_num(relabelling.margins[:, columns]), []
    for direction in ("added", "removed"):
        for image, index in most_confident(old, new, margins, findings, direction, ON_SHEET):
            cell = image, columns[index]
            row: Row = {"image": before["image"].iloc[image], "finding": findings[index]}
            row |= {"direction": direction, "probability": relabelling.probabilities[cell]}
            row |= {"threshold": relabelling.limits[cell]}
            right = None if true is None else bool(true[image, index] == new[image, index])
            rows.append(row | {"right": right})
    return pd.DataFrame(rows, columns=CONFIDENT)


# Agreement with adjudicated labels.

NONE_HERE: Final = "no adjudicated image in this part"
NO_COUNTERPART: Final = "no counterpart among the fourteen findings"
DENOMINATORS: Final = {
    "sensitivity": ("with it",),
    "precision": ("labelled",),
    "kappa": ("with it", "without it"),
}
"""Images in the denominator of each measure: it needs MIN_PATIENTS patients of them."""
STATES: Final = ("before", "after", "difference")
COLUMNS: Final = [
    *("split", "label", "measure", "images", "patients", "positives"),
    *(f"{state}{end}" for state in STATES for end in ENDS),
    "reason",
]


def agreement_table(
    before: pd.DataFrame,
    after: pd.DataFrame,
    splits: npt.NDArray[Any],
    adjudicated: pd.DataFrame,
    mapping: Mapping[str, tuple[str, ...]],
    source: Source,
    resamples: int = N_REPLICATES,
) -> pd.DataFrame:
    """Compare labels before and after relabelling with the adjudicated labels.

    Args:
        before: image, patient and labels (N rows).
        after: the same, relabelled.
        splits: (N,) train, val or test.
        adjudicated: bool columns by adjudicated finding, a row per image, by its name.
        mapping: our findings that make up each; an image is positive with any of them.
        source: of the images; no measure is computed of phantoms.
        resamples: number of replicates of the patients.

    Returns:
        The columns COLUMNS, a row per split (train, val), label and measure (sensitivity,
        precision, Cohen's kappa): images, their patients and adjudicated positives; the measure
        before, after and after minus before, each with its interval; the reason where a cell is
        empty. The rules are those of the other tables (MIN_PATIENTS, constant sides).
    """
    is_adjudicated = before["image"].isin(adjudicated.index).to_numpy() & (not source.phantom)
    rows: list[Row] = []
    for split in ("train", "val"):
        inside = is_adjudicated & (splits == split)
        old, new = before[inside], after[inside]
        truth = adjudicated.reindex(old["image"])
        patients, generator = old["patient"].to_numpy(), np.random.default_rng(SEED)
        replicates = draw_replicates(patients, generator, resamples)
        for label, findings in mapping.items():
            row: Row = {"split": split, "label": label, "images": len(old)}
            row["patients"] = len(replicates.counts)
            reason = _missing_reason(source, len(old), findings)
            if reason:
                rows += [row | {"measure": name, "reason": reason} for name in DENOMINATORS]
                continue
            true = truth[label].to_numpy(bool)
            row["positives"] = int(true.sum())
            was, now = ((table[[*findings]] > 0).to_numpy().any(axis=1) for table in (old, new))
            rows += [row | measure for measure in _compared(true, was, now, replicates)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _missing_reason(source: Source, images: int, findings: tuple[str, ...]) -> str | None:
    if source.phantom:
        return PHANTOM_NOTE
    return (None if findings else NO_COUNTERPART) if images else NONE_HERE


def _compared(true: Bools, before: Bools, after: Bools, replicates: Replicates) -> Iterator[Row]:
    """Yield each measure before and after, and the difference, with their intervals."""
    classes = np.stack([true, ~true, before, after], axis=1)
    positive, negative, *labelled = patients_by_class(classes, replicates.owner).tolist()
    patients = {"with it": positive, "without it": negative, "labelled": min(labelled)}
    old, new = (agreement(true, labels, replicates) for labels in (before, after))
    for measure, groups in DENOMINATORS.items():
        few = too_few_patients({name: patients[name] for name in groups})
        if few:
            yield {"measure": measure, "reason": few}
            continue
        values = dict(zip(STATES, (old[measure], new[measure]), strict=False))
        values["difference"] = difference(new[measure], old[measure])
        yield {"measure": measure, "reason": without_interval(values)} | interval_columns(values)


def agreement(true: Bools, labels: Bools, replicates: Replicates) -> dict[str, Floats]:
    """Sensitivity, precision and Cohen's kappa (1960) of labels against the truth.

    Args:
        true: (n,).
        labels: (n,).
        replicates: R bootstrap replicates of the patients of these n images.

    Returns:
        By measure (1 + R,): of all images, then by replicate; NaN where the denominator is 0.
    """
    columns = [np.ones_like(true), true, labels, true & labels]
    table = np.stack(columns, axis=1).astype(np.float64)
    sums = weighted_sums(table, replicates.owner, replicates.counts)
    n, positives, labelled, true_positives = sums.T
    observed = (n - positives - labelled + 2 * true_positives) / n
    expected = (positives * labelled + (n - positives) * (n - labelled)) / n**2
    return {
        "sensitivity": _ratio(true_positives, positives),
        "precision": _ratio(true_positives, labelled),
        "kappa": _ratio(observed - expected, 1 - expected),
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator ÷ denominator, NaN where the denominator is not positive."""
    return np.divide(
        numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0
    )
