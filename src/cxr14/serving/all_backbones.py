"""The ensemble of all trained backbones, whose spread measures how far they disagree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from cxr14.datasets.records import RECORDS, records_of
from cxr14.errors import UserError
from cxr14.evaluation.evaluate import decide
from cxr14.evaluation.predictions import (
    logit_columns,
    logit_of_mean,
    network_files,
    read_decision,
    read_predictions,
)
from cxr14.labels import label_matrix
from cxr14.serving.description import ServingDescription

NAME = "ensemble of all backbones"


def decide_together(
    backbones: Sequence[str], classes: Sequence[str], root: Path = Path()
) -> dict[str, Any]:
    """Choose thresholds and calibration of the mean probability of some backbones.

    As `evaluate` does for one of them, from their predictions on validation.

    Args:
        backbones: at least one, all of the same classes.
        classes: C names.
        root: the folder of predictions, evaluation and data.

    Returns:
        See evaluate.decide.

    Raises:
        UserError: a file is missing or damaged, the predictions are of different images, or only
            some of them are with test-time augmentation.
    """
    tta = _all_or_none_with_tta(backbones, classes, root)
    files = [tuple(root / file for file in network_files(name)) for name in backbones]
    tables = [read_predictions(files[0][0], classes)]
    tables += [read_predictions(path, classes, tables[0]) for path, _ in files[1:]]
    val = [t[t["split"] == "val"].sort_values("image", ignore_index=True) for t in tables]
    logits = logit_of_mean(np.stack([rows[logit_columns(classes)].to_numpy() for rows in val]))
    labels = label_matrix(records_of(val[0]["image"].tolist(), root / RECORDS), classes)
    decision = decide(NAME, labels, logits, expit(logits), classes)
    return decision | ({"tta": True} if tta else {})


def _all_or_none_with_tta(backbones: Sequence[str], classes: Sequence[str], root: Path) -> bool:
    decisions = [read_decision(root / network_files(name)[1], classes) for name in backbones]
    tta = [bool(decision.get("tta", False)) for decision in decisions]
    if any(tta) and not all(tta):
        without = ", ".join(name for name, given in zip(backbones, tta, strict=True) if not given)
        raise UserError(
            f"the {NAME} has predictions with and without test-time augmentation (without: "
            f"{without}); run `dvc repro evaluate`, which applies evaluate.tta to all of them"
        )
    return all(tta)


def describe_together(description: ServingDescription) -> ServingDescription:
    """Describe the ensemble as one of its backbones, each heatmap scaled by its own range."""
    heatmaps = description.heatmaps.model_copy(update={"scaling": "per_map", "heat_scale": None})
    return description.model_copy(update={"name": NAME, "heatmaps": heatmaps})
