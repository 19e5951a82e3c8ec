"""AUROC against radiologist-adjudicated labels and against mined labels on the same images.

Source: Majkowska et al. 2020, "Chest Radiograph Interpretation with Deep Learning Models:
Assessment with Radiologist-adjudicated Reference Standards and Population-adjusted Evaluation",
Radiology 294:421–431. Panels of radiologists labelled 1,962 images of the official test split and
2,414 of train-val. Here only the test images are used. The torchxrayvision package contains the
table.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.datasets.records import PHANTOM_NOTE, Source
from cxr14.errors import UserError
from cxr14.evaluation.measures import WITH, WITHOUT, Predictions
from cxr14.io import packaged_file
from cxr14.labels import label_matrix
from cxr14.metrics.auroc import Array, Floats, weighted_auroc
from cxr14.metrics.bootstrap import (
    ENDS,
    SEED,
    Replicates,
    draw_replicates,
    patients_by_class,
    too_few_patients,
)
from cxr14.metrics.intervals import difference, interval_columns, without_interval

PACKAGE: Final = "torchxrayvision"
FILE: Final = "torchxrayvision/data/google2019_nih-chest-xray-labels.csv.gz"

MAPPING: Final[dict[str, tuple[str, ...]]] = {
    "Pneumothorax": ("Pneumothorax",),
    "Nodule or mass": ("Mass", "Nodule"),
    "Airspace opacity": ("Atelectasis", "Consolidation", "Edema", "Infiltration", "Pneumonia"),
    "Fracture": (),
}
"""Findings of ChestX-ray14 that make up each adjudicated finding.

Airspace opacity: the labels below "lung opacity" in the tree of CheXpert's labels (edema,
consolidation with pneumonia, atelectasis; Pham et al. 2019, arXiv 1911.06475) except lesions, which
are a finding of their own here, and infiltration, which CheXpert's labeller counts as a mention of
airspace opacity (its mention_phrases/airspace_opacity.txt). The mapping is this project's. None of
the fourteen findings is a fracture.
"""

VALUES: Final = {name: {"YES", "NO"} for name in MAPPING} | {"Set Id": {"val", "test"}}
IMAGE: Final = "Image Index"
COLUMNS: Final = [
    *("backbone", "label", "mapped_from", "images", "patients"),
    *("positives", "patients_with", "patients_without"),
    *("positives_mined", "patients_with_mined", "patients_without_mined"),
    *(f"{s}{end}" for s in ("auroc_adjudicated", "auroc_mined", "difference") for end in ENDS),
    "reason",
]

Row = dict[str, Any]


def read_adjudicated(path: Path | None = None, split: str = "test") -> pd.DataFrame:
    """Read the adjudicated labels of the test images.

    Args:
        path: of the table; None for the one that torchxrayvision contains.
        split: test, or val for the 2,414 images of train-val.

    Returns:
        A row per image, by its name; a bool column per adjudicated finding.

    Raises:
        UserError: a column is missing, or a value or an image is unexpected.
    """
    file = path or packaged_file(PACKAGE, FILE)
    table = pd.read_csv(file)
    problems = [f"no column {name!r}" for name in (IMAGE, *VALUES) if name not in table]
    for name, allowed in VALUES.items():
        unexpected = set(table.get(name, pd.Series(dtype=str))) - allowed
        if unexpected:
            values = ", ".join(sorted(map(repr, unexpected))[:3])
            problems.append(f"{name} holds {values}, allowed are {' and '.join(sorted(allowed))}")
    if IMAGE in table and table[IMAGE].duplicated().any():
        problems.append(f"{table[IMAGE][table[IMAGE].duplicated()].iloc[0]} is listed twice")
    if problems:
        raise UserError(
            f"{file}: {'; '.join(problems)}; install {PACKAGE} as requirements.lock has it"
        )
    rows = table[table["Set Id"] == split].set_index(IMAGE)
    return rows[list(MAPPING)] == "YES"


def adjudicated_table(
    records: pd.DataFrame,
    predictions: Mapping[str, Predictions],
    adjudicated: pd.DataFrame,
    source: Source,
) -> pd.DataFrame:
    """Score networks against adjudicated and against mined labels on the same images.

    The interval of the difference of the two AUROCs is on the same replicates of patients.
    Several findings are combined by the "noisy or" of their Platt-scaled probabilities,
    1 − Π(1 − p). Probabilities without scaling are not comparable after weighted losses.

    Args:
        records: of the N test images, by image, in the order of the predictions.
        predictions: by backbone.
        adjudicated: see :func:`read_adjudicated`.
        source: no score is computed of phantoms.

    Returns:
        The columns COLUMNS, a row per backbone and adjudicated finding; a missing score is null
        and has a reason.
    """
    indices = np.flatnonzero(records.index.isin(adjudicated.index))
    mined_records, ground_truth = records.iloc[indices], adjudicated.loc[records.index[indices]]
    replicates = draw_replicates(mined_records["patient"].to_numpy(), np.random.default_rng(SEED))
    rows: list[Row] = []
    for backbone, network in predictions.items():
        for label, findings in MAPPING.items():
            row: Row = {"backbone": backbone, "label": label, "mapped_from": " + ".join(findings)}
            reason = PHANTOM_NOTE if source.phantom else missing_reason(network, findings)
            if reason:
                rows.append(row | {"reason": reason})
                continue
            scores, mined = (
                combined_scores(network, findings)[indices],
                label_matrix(mined_records, findings).max(axis=1),
            )
            rows.append(row | _score_row(ground_truth[label].to_numpy(), mined, scores, replicates))
    return pd.DataFrame(rows, columns=COLUMNS)


def missing_reason(predictions: Predictions, findings: tuple[str, ...]) -> str | None:
    """Return why findings cannot be scored as an adjudicated finding, or None."""
    if not findings:
        return "no counterpart among the fourteen findings"
    absent = [name for name in findings if name not in predictions.classes]
    if absent:
        return f"not trained on {', '.join(absent)}"
    reasons = [
        f"{name}: {predictions.reasons[name]}" for name in findings if name in predictions.reasons
    ]
    return "; ".join(reasons) or None


def combined_scores(predictions: Predictions, findings: tuple[str, ...]) -> Array:
    """Return a score per image, (N,): the logit of a finding, or the noisy or of several."""
    if len(findings) == 1:
        return np.asarray(predictions.select(findings).logits[:, 0])
    return np.asarray(1 - np.prod(1 - predictions.select(findings).calibrated, axis=1))


def _score_row(ground_truth: Array, mined: Array, scores: Array, replicates: Replicates) -> Row:
    row: Row = {"images": len(ground_truth), "patients": len(replicates.counts)}
    areas: dict[str, Floats] = {}
    reasons: list[str | None] = []
    for kind, labels, end in (("adjudicated", ground_truth, ""), ("mined", mined, "_mined")):
        present = labels > 0
        sides = np.stack([present, labels == 0], axis=1)
        having, lacking = patients_by_class(sides, replicates.owner).tolist()
        row[f"positives{end}"] = int(present.sum())
        row |= {f"patients_with{end}": having, f"patients_without{end}": lacking}
        few = too_few_patients({WITH: having, WITHOUT: lacking})
        if few:
            reasons.append(f"{kind}: {few}")
        else:
            columns = labels[:, None], scores[:, None]
            areas[f"auroc_{kind}"] = weighted_auroc(*columns, *replicates)[:, 0]
    if len(areas) == 2:
        areas["difference"] = difference(areas["auroc_adjudicated"], areas["auroc_mined"])
    reasons.append(without_interval(areas))
    return row | interval_columns(areas) | {"reason": "; ".join(filter(None, reasons)) or None}
