"""Agreement of labels with radiologist-adjudicated labels before and after relabelling.

The images are the 2,414 adjudicated ones of train-val (cxr14.evaluation.adjudicated). Images of val
are relabelled by networks that were not trained on them; those of train too, with cross-fitting.
Labels before and after are compared on the same resamples of patients.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.records import PHANTOM_NOTE, Source
from cxr14.evaluation.measures import MIN_PATIENTS, difference, interval_columns, without_interval
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
"""Images of which each measure needs MIN_PATIENTS patients: those in its denominator."""
STATES: Final = ("before", "after", "difference")
COLUMNS: Final = [
    *("part", "label", "measure", "images", "patients", "positives"),
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
        source: no measure is computed of phantoms.
        resamples: of the patients.

    Returns:
        The columns COLUMNS, a row per part (train, val), label and measure (sensitivity, precision,
        Cohen's kappa): images, their patients and adjudicated positives; the measure before, after
        and after less before, each with its interval; and the reason where a cell is empty. The
        rules are those of cxr14.evaluation.measures (MIN_PATIENTS, constant sides).
    """
    is_adjudicated = before["image"].isin(adjudicated.index).to_numpy() & (not source.phantom)
    rows: list[Row] = []
    for split in ("train", "val"):
        inside = is_adjudicated & (splits == split)
        old, new = before[inside], after[inside]
        truth = adjudicated.reindex(old["image"])
        draws = draw_replicates(old["patient"].to_numpy(), np.random.default_rng(SEED), resamples)
        for label, findings in mapping.items():
            row: Row = {"part": split, "label": label, "images": len(old)}
            row["patients"] = len(draws.counts)
            reason = _why_none(source, len(old), findings)
            if reason:
                rows += [row | {"measure": name, "reason": reason} for name in BELOW]
                continue
            true = truth[label].to_numpy(bool)
            row["positives"] = int(true.sum())
            was, became = ((item[list(findings)] > 0).to_numpy().any(axis=1) for item in (old, new))
            rows += [row | item for item in _compared(true, was, became, draws)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _why_none(source: Source, images: int, findings: tuple[str, ...]) -> str | None:
    if source.phantom:
        return PHANTOM_NOTE
    return (None if findings else NO_COUNTERPART) if images else NONE_HERE


def _compared(true: Bools, before: Bools, after: Bools, resamples: Replicates) -> Iterator[Row]:
    """Yield each measure before and after, and the difference, with their intervals."""
    chosen = np.stack([true, ~true, before, after], axis=1)
    having, lacking, *labelled = patients_by_class(chosen, resamples.owner).tolist()
    patients = {"with it": having, "without it": lacking, "labelled": min(labelled)}
    old, new = (agreement(true, labels, resamples) for labels in (before, after))
    for measure, below in BELOW.items():
        few = [
            f"{who}: {patients[who]} of {MIN_PATIENTS}"
            for who in below
            if patients[who] < MIN_PATIENTS
        ]
        if few:
            yield {"measure": measure, "reason": f"too few patients {'; '.join(few)}"}
            continue
        values = dict(zip(STATES, (old[measure], new[measure]), strict=False))
        values["difference"] = difference(new[measure], old[measure])
        yield {"measure": measure, "reason": without_interval(values)} | interval_columns(values)


def agreement(true: Bools, called: Bools, resamples: Replicates) -> dict[str, Floats]:
    """Sensitivity, precision and Cohen's kappa (1960) of labels against the truth.

    Args:
        true: (n,).
        called: (n,) the labels.
        resamples: R resamples of the patients of these n images.

    Returns:
        By measure (1 + R,): of all images, then by resample; NaN where the denominator is 0.
    """
    columns = [np.ones_like(true), true, called, true & called]
    table = np.stack(columns, axis=1).astype(np.float64)
    images, positives, calls, hits = weighted_sums(table, resamples.owner, resamples.counts).T
    observed = (images - positives - calls + 2 * hits) / images
    both = (positives * calls + (images - positives) * (images - calls)) / images**2
    return {
        "sensitivity": _share(hits, positives),
        "precision": _share(hits, calls),
        "kappa": _share(observed - both, 1 - both),
    }


def _share(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(
        numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0
    )
