"""Relabelled beside mined labels, where radiologists agreed on the truth of an image.

Of the 2,414 adjudicated images of train-val (cxr14.comparison.adjudicated) those in val were judged
by networks that never saw them; those in train, with cross-fitting, too.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.flips import share
from cxr14.wording import PHANTOM_NOTE

Bools = npt.NDArray[np.bool_]
NONE_HERE: Final = "no adjudicated image in this part"
NO_COUNTERPART: Final = "no counterpart among the fourteen findings"
MEASURES: Final = ("sensitivity", "precision", "kappa")


def agreement_table(
    before: pd.DataFrame,
    after: pd.DataFrame,
    parts: npt.NDArray[Any],
    adjudicated: pd.DataFrame,
    mapping: Mapping[str, tuple[str, ...]],
    phantom: bool,
) -> pd.DataFrame:
    """Hold labels before and after relabelling against the adjudicated ones.

    Args:
        before: image and labels (N rows).
        after: the same, relabelled.
        parts: (N,) train, val or test.
        adjudicated: bool columns by adjudicated finding, a row per image, by its name.
        mapping: our findings that make up each; an image is positive with any of them.
        phantom: whether pixels are simulated; an adjudicated label says nothing about them.

    Returns:
        part (train, val), label, images, positives (adjudicated), sensitivity, precision and
        Cohen's kappa ``_before`` and ``_after``, and the reason where they are empty.
    """
    known = before["image"].isin(adjudicated.index).to_numpy() & (not phantom)
    truth = adjudicated.reindex(before["image"])
    rows = []
    for part in ("train", "val"):
        inside = known & (parts == part)
        for label, findings in mapping.items():
            row: dict[str, Any] = {"part": part, "label": label, "images": int(inside.sum())}
            reason = PHANTOM_NOTE if phantom else None if inside.any() else NONE_HERE
            reason = reason or (None if findings else NO_COUNTERPART)
            if reason is None:
                true = truth[label].to_numpy()[inside].astype(bool)
                row["positives"] = int(true.sum())
                for end, table in (("before", before), ("after", after)):
                    called = (table[list(findings)].to_numpy()[inside] > 0).any(axis=1)
                    row |= {f"{n}_{end}": v for n, v in agreement(true, called).items()}
            rows.append(row | {"reason": reason})
    ends = [f"{name}_{end}" for name in MEASURES for end in ("before", "after")]
    columns = ["part", "label", "images", "positives", *ends, "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def agreement(true: Bools, called: Bools) -> dict[str, float | None]:
    """Sensitivity, precision and Cohen's kappa (1960) of n labels (n,) against the truth (n,)."""
    hits = int((true & called).sum())
    observed = float((true == called).mean())
    both = float(true.mean() * called.mean() + (~true).mean() * (~called).mean())
    return {
        "sensitivity": share(hits, int(true.sum())),
        "precision": share(hits, int(called.sum())),
        "kappa": (observed - both) / (1 - both) if both < 1 else None,
    }
