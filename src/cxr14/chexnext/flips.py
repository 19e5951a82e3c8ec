"""What relabelling did: flips in both directions, and on phantoms how many of them are right.

A flip is a label of a finding that relabelling changed: `added` where it became positive,
`removed` where it no longer is. No Finding follows from the findings and is not counted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

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
