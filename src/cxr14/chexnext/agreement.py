"""Relabelled beside mined labels, where radiologists agreed on the truth of an image.

Of the 2,414 adjudicated images of train-val (cxr14.evaluation.adjudicated) those in val were judged
by networks that never saw them; those in train, with cross-fitting, too. Before and after are held
against the truth on the same resamples of patients, so that their difference has an interval too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.console import PHANTOM_NOTE
from cxr14.evaluation.measures import FEWEST, difference, named, without_interval
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import (
    ENDS,
    N_REPLICATES,
    SEED,
    Replicates,
    draw_replicates,
    patients_by_class,
    weighted_sums,
)

Bools = npt.NDArray[np.bool_]
Row = dict[str, Any]

NONE_HERE: Final = "no adjudicated image in this part"
NO_COUNTERPART: Final = "no counterpart among the fourteen findings"
BELOW: Final = {
    "sensitivity": ("with it",),
    "precision": ("labelled",),
    "kappa": ("with it", "without it"),
}
"""Of which images each measure needs FEWEST patients: those that it counts below its line."""
STATES: Final = ("before", "after", "difference")
COLUMNS: Final = [
    *("part", "label", "measure", "images", "patients", "positives"),
    *(f"{state}{end}" for state in STATES for end in ENDS),
    "reason",
]


def agreement_table(
    before: pd.DataFrame,
    after: pd.DataFrame,
    parts: npt.NDArray[Any],
    adjudicated: pd.DataFrame,
    mapping: Mapping[str, tuple[str, ...]],
    phantom: bool,
    resamples: int = N_REPLICATES,
) -> pd.DataFrame:
    """Hold labels before and after relabelling against the adjudicated ones.

    Args:
        before: image, patient and labels (N rows).
        after: the same, relabelled.
        parts: (N,) train, val or test.
        adjudicated: bool columns by adjudicated finding, a row per image, by its name.
        mapping: our findings that make up each; an image is positive with any of them.
        phantom: whether pixels are simulated; an adjudicated label says nothing about them.
        resamples: of the patients.

    Returns:
        The columns COLUMNS, a row per part (train, val), label and measure (sensitivity, precision,
        Cohen's kappa): images, their patients and adjudicated positives; the measure before, after
        and after less before, each with its interval; and the reason where a cell is empty. The
        rules are those of cxr14.evaluation.compare: ten patients below the line, and no interval of a
        difference of which one side never varies.
    """
    known = before["image"].isin(adjudicated.index).to_numpy() & (not phantom)
    rows: list[Row] = []
    for part in ("train", "val"):
        inside = known & (parts == part)
        old, new = before[inside], after[inside]
        truth = adjudicated.reindex(old["image"])
        drawn = draw_replicates(old["patient"].to_numpy(), np.random.default_rng(SEED), resamples)
        for label, findings in mapping.items():
            row: Row = {"part": part, "label": label, "images": len(old)}
            row["patients"] = len(drawn.counts)
            reason = _why_none(phantom, len(old), findings)
            if reason:
                rows += [row | {"measure": name, "reason": reason} for name in BELOW]
                continue
            true = truth[label].to_numpy(bool)
            row["positives"] = int(true.sum())
            was, became = ((own[list(findings)] > 0).to_numpy().any(axis=1) for own in (old, new))
            rows += [row | own for own in _compared(true, was, became, drawn)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _why_none(phantom: bool, images: int, findings: tuple[str, ...]) -> str | None:
    if phantom:
        return PHANTOM_NOTE
    return (None if findings else NO_COUNTERPART) if images else NONE_HERE


def _compared(true: Bools, before: Bools, after: Bools, drawn: Replicates) -> Iterator[Row]:
    """Yield each measure before and after, and the difference, with their intervals."""
    chosen = np.stack([true, ~true, before, after], axis=1)
    having, lacking, *labelled = patients_by_class(chosen, drawn.owner).tolist()
    patients = {"with it": having, "without it": lacking, "labelled": min(labelled)}
    old, new = (agreement(true, labels, drawn) for labels in (before, after))
    for measure, below in BELOW.items():
        few = [f"{who}: {patients[who]} of {FEWEST}" for who in below if patients[who] < FEWEST]
        if few:
            yield {"measure": measure, "reason": f"too few patients {'; '.join(few)}"}
            continue
        values = dict(zip(STATES, (old[measure], new[measure]), strict=False))
        values["difference"] = difference(new[measure], old[measure])
        yield {"measure": measure, "reason": without_interval(values)} | named(values)


def agreement(true: Bools, called: Bools, drawn: Replicates) -> dict[str, Floats]:
    """Sensitivity, precision and Cohen's kappa (1960) of labels against the truth.

    Args:
        true: (n,).
        called: (n,) the labels.
        drawn: R resamples of the patients of these n images.

    Returns:
        By measure (1 + R,): of all images, then by resample; NaN where nothing is to be divided by.
    """
    columns = [np.ones_like(true), true, called, true & called]
    table = np.stack(columns, axis=1).astype(np.float64)
    images, positives, calls, hits = weighted_sums(table, drawn.owner, drawn.counts).T
    observed = (images - positives - calls + 2 * hits) / images
    both = (positives * calls + (images - positives) * (images - calls)) / images**2
    return {
        "sensitivity": _share(hits, positives),
        "precision": _share(hits, calls),
        "kappa": _share(observed - both, 1 - both),
    }


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
