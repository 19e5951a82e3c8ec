"""What networks answered on the test part, and what the images hold; row by row the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxr14.errors import UserError
from cxr14.evaluation.calibration import platt_probabilities
from cxr14.evaluation.predict import logit_columns, probability_columns
from cxr14.evaluation.stored import LOGIT, read_decision, read_predictions
from cxr14.ranking import Array, Floats


@dataclass(frozen=True)
class Answers:
    """One network's answers for N images.

    Attributes:
        classes: C names.
        logits: (N, C), they rank.
        probabilities: (N, C), held against the thresholds.
        calibrated: (N, C) Platt-scaled probabilities, NaN for a class without scaling.
        thresholds: (C,) of highest F1 on validation, NaN where there is none.
        reasons: why a class has no threshold and no scaling.
    """

    classes: tuple[str, ...]
    logits: Array
    probabilities: Array
    calibrated: Floats
    thresholds: Floats
    reasons: Mapping[str, str]

    def of(self, classes: Sequence[str]) -> Array:
        """Return the logits of some classes, (N, len(classes))."""
        return self.logits[:, [self.classes.index(name) for name in classes]]


def on_test(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows of predictions/B.parquet, sorted by image."""
    return predictions[predictions["split"] == "test"].sort_values("image", ignore_index=True)


def answers_of(rows: pd.DataFrame, decision: dict[str, Any]) -> Answers:
    """Take a network's answers from its table and its decision.

    Args:
        rows: of predictions/B.parquet, N images.
        decision: content of evaluation/B/decision.json.
    """
    classes = classes_of(rows)
    logits = rows[logit_columns(classes)].to_numpy()
    return Answers(
        classes,
        logits,
        rows[probability_columns(classes)].to_numpy(),
        platt_probabilities(logits, decision["platt"], classes),
        np.array([decision["thresholds"][name] for name in classes], np.float64),
        decision["reasons"],
    )


def classes_of(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes whose logits a table holds, in its order."""
    columns = [str(name) for name in rows.columns]
    return tuple(name.removeprefix(LOGIT) for name in columns if name.startswith(LOGIT))


def network_files(backbone: str) -> tuple[str, str]:
    """Name the files that hold a network's answers and its decision."""
    return f"predictions/{backbone}.parquet", f"evaluation/{backbone}/decision.json"


def read_network(backbone: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the test rows and the decision of one network.

    Raises:
        UserError: it has not been evaluated, or a file is damaged.
    """
    predictions, decision = network_files(backbone)
    rows = read_predictions(predictions)
    return on_test(rows), read_decision(decision, classes_of(rows))


def read_answers(backbones: Sequence[str]) -> tuple[list[str], dict[str, Answers]]:
    """Read the answers of several networks on test.

    Returns:
        The images, sorted, and the answers by backbone in the given order.

    Raises:
        UserError: a network has not been evaluated, a file is damaged, or networks answered
            other images.
    """
    images: list[str] = []
    found: dict[str, Answers] = {}
    for backbone in backbones:
        rows, decision = read_network(backbone)
        own = rows["image"].tolist()
        if found and own != images:
            raise UserError(
                f"predictions/{backbone}.parquet holds other test images than that of "
                f"{next(iter(found))}; run dvc repro"
            )
        images, found[backbone] = own, answers_of(rows, decision)
    return images, found
