"""Predictions and decision of a network: the table of logits and probabilities, and readers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, log_expit, logsumexp

from cxr14.errors import UserError, quote
from cxr14.io import read_json, read_parquet, unusable
from cxr14.labels import CLASSES

HELD_OUT = ("val", "test")
Logits = npt.NDArray[np.float32]
LOGIT = "logit "


def logit_columns(classes: Sequence[str]) -> list[str]:
    """Name the logits of predictions/B.parquet."""
    return [f"{LOGIT}{name}" for name in classes]


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Name the probabilities of predictions/B.parquet."""
    return [f"probability {name}" for name in classes]


def classes_of(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes of the logit columns of a table, in its order."""
    columns = [str(name) for name in rows.columns]
    return tuple(name.removeprefix(LOGIT) for name in columns if name.startswith(LOGIT))


def logit_of_mean(logits: Sequence[Logits] | Logits) -> Logits:
    """Logit of the mean probability of K networks or views, float32 (N, C).

    log(p / (1 − p)) is computed by sums of logarithms, so that no probability is rounded to 0 or 1.
    Platt scaling is fitted on it, as on the logits of a single network.

    Args:
        logits: K arrays (N, C).
    """
    stacked = np.stack([*logits]).astype(np.float64)  # (K, N, C)
    odds = logsumexp(log_expit(stacked), axis=0) - logsumexp(log_expit(-stacked), axis=0)
    return np.asarray(odds, np.float32)


def prediction_table(
    held_out_images: pd.DataFrame,
    logits: npt.NDArray[np.float32],
    classes: Sequence[str] = CLASSES,
) -> pd.DataFrame:
    """Build predictions/B.parquet.

    Args:
        held_out_images: image and split, M rows, see ``cxr14.evaluation.predict.held_out``.
        logits: (M, C) float32.
        classes: C names of the logits.

    Returns:
        image, split, C columns ``logit <class>``, C columns ``probability <class>``.

    Raises:
        UserError: a logit is not finite.
    """
    check_finite(held_out_images, logits)
    columns = pd.DataFrame(
        np.concatenate([logits, expit(logits)], axis=1),
        columns=logit_columns(classes) + probability_columns(classes),
    )
    named = held_out_images[["image", "split"]].reset_index(drop=True)
    return pd.concat([named, columns], axis=1)


def check_finite(held_out_images: pd.DataFrame, logits: Logits) -> None:
    """Raise UserError if a logit of the M images, (M, C), is not finite; name the first."""
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise UserError(
            f"the network predicts NaN or infinity for {len(broken)} of {len(logits)} images, "
            f"first {held_out_images['image'].iloc[broken[0]]}; train it again, for example "
            "with a lower train.learning_rate"
        )


def rows_of_test(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows of predictions/B.parquet, sorted by image."""
    return predictions[predictions["split"] == "test"].sort_values("image", ignore_index=True)


def network_files(backbone: str) -> tuple[str, str]:
    """Return the paths of a network's predictions and its decision."""
    return f"predictions/{backbone}.parquet", f"evaluation/{backbone}/decision.json"


def read_network(backbone: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the test rows and the decision of one network.

    Raises:
        UserError: the network has not been evaluated, or a file is damaged.
    """
    predictions, decision = network_files(backbone)
    rows = read_predictions(predictions)
    return rows_of_test(rows), read_decision(decision, classes_of(rows))


def read_predictions(
    path: str | Path, classes: Sequence[str] | None = None, listed: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Read predictions/B.parquet.

    Args:
        path: of the file.
        classes: that it must hold; None takes those of its columns.
        listed: the held-out images (image, split) that it must hold, in any order.

    Returns:
        image, split, a column ``logit <class>`` and ``probability <class>`` for each class.

    Raises:
        UserError: the file is missing or damaged, or is of other classes or images.
    """
    table = read_parquet(path, {"image": "text", "split": "text"}, key="image")
    names = list(classes_of(table))
    expected = list(classes) if classes is not None else [name for name in CLASSES if name in names]
    if names != expected or not names:
        raise unusable(path, f"is of the classes {quote(names)}, expected {quote(expected)}")
    if unexpected := set(table["split"]) - set(HELD_OUT):
        raise unusable(
            path, f"is damaged: {quote(min(unexpected))} is none of {', '.join(HELD_OUT)}"
        )
    _check_numbers(path, table, names)
    if listed is not None:
        _check_images(path, table, listed)
    return table


def _check_numbers(path: str | Path, table: pd.DataFrame, classes: Sequence[str]) -> None:
    probabilities = probability_columns(classes)
    for name in (*logit_columns(classes), *probabilities):
        if name not in table or not pd.api.types.is_float_dtype(table[name]):
            raise unusable(path, f"is damaged: there is no column {name} of numbers")
        values = table[name].to_numpy()
        if not np.isfinite(values).all():
            raise unusable(path, f"is damaged: a {name} is no finite number")
        if name in probabilities and ((values < 0) | (values > 1)).any():
            raise unusable(path, f"is damaged: a {name} is not within 0 and 1")


def _check_images(path: str | Path, table: pd.DataFrame, listed: pd.DataFrame) -> None:
    held, expected = (
        {(name, split) for name, split in zip(images["image"], images["split"], strict=True)}
        for images in (table, listed)
    )
    if held != expected:
        first = min(held ^ expected)[0]
        raise unusable(
            path,
            f"holds {len(held)} images and the split {len(expected)} of val and test; the first "
            f"that differs is {quote(first)}",
        )


def read_decision(path: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """Read evaluation/B/decision.json.

    Args:
        path: of the file.
        classes: for each of which it must hold a threshold and Platt's scaling, or null.

    Raises:
        UserError: the file is missing or damaged, or is of other classes.
    """
    decision: dict[str, Any] = read_json(path, "thresholds", "platt", "reasons")
    for key, right in {"thresholds": _is_probability, "platt": _is_scaling}.items():
        values = decision[key]
        if not isinstance(values, dict):
            raise unusable(path, f"is damaged: {key} is {quote(values)}")
        for name in classes:
            if name not in values:
                raise unusable(path, f"holds no {key} for {name}")
            if values[name] is not None and not right(values[name]):
                raise unusable(path, f"is damaged: {key} of {name} is {quote(values[name])}")
    return decision


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _is_probability(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_scaling(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(value.get(k)) for k in ("slope", "intercept"))
