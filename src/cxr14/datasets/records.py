"""Readers of the tables that `patient-split` writes, and of the facts on the data source."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr14.errors import UserError, quote
from cxr14.io import Kind, read_json, read_parquet, unusable
from cxr14.labels import FINDINGS, LABEL_COLUMNS

SOURCE = "data/records/source.json"
RECORDS = "data/records/images.parquet"
BOXES = "data/records/boxes.parquet"
SPLIT = "data/split/split.parquet"

SPLITS = ("train", "val", "test")

LEFT_OUT = "left out"
"""Value of a fold's column `split`: training images that its members do not use."""

NUMBERS = ("x", "y", "width", "height")


def read_source(*keys: str, path: str | Path = SOURCE) -> dict[str, Any]:
    """Read what is known of the data source: above all `phantom`, whether it is simulated.

    Args:
        keys: others that the file must hold.
        path: of the file.

    Raises:
        UserError: the file is missing or damaged.
    """
    source: dict[str, Any] = read_json(path, "phantom", *keys)
    if not isinstance(source["phantom"], bool) or not isinstance(source.get("source", ""), str):
        raise unusable(path, "is damaged: phantom is true or false, and source a name")
    return source


def read_records(path: str | Path = RECORDS) -> pd.DataFrame:
    """Read a table of labels: one row per image, every label 0 or 1.

    Raises:
        UserError: the file is missing or damaged.
    """
    labels: dict[str, Kind] = dict.fromkeys(LABEL_COLUMNS, "integer")
    records = read_parquet(path, {"image": "text", **labels}, key="image")
    wrong = [name for name in LABEL_COLUMNS if not records[name].isin([0, 1]).all()]
    if wrong:
        raise unusable(path, f"is damaged: {wrong[0]} holds other values than 0 and 1")
    return records


def read_boxes(path: str | Path = BOXES) -> pd.DataFrame:
    """Read the ground-truth boxes, in pixels of NIH's files (image, finding, x, y, width, height).

    Raises:
        UserError: the file is missing or damaged.
    """
    numbers: dict[str, Kind] = dict.fromkeys(NUMBERS, "number")
    boxes = read_parquet(path, {"image": "text", "finding": "text", **numbers})
    if len(boxes) and not np.isfinite(boxes[[*NUMBERS]].to_numpy(np.float64)).all():
        raise unusable(path, "is damaged: a box holds a value that is no finite number")
    if strange := set(boxes["finding"]) - set(FINDINGS):
        raise unusable(path, f"is damaged: {quote(min(strange))} is no finding")
    return boxes


def read_split(path: str | Path = SPLIT) -> pd.DataFrame:
    """Read a split: image, patient and split (train, val or test); a fold's table has the same.

    Raises:
        UserError: the file is missing or damaged, or a patient is in two parts.
    """
    columns: dict[str, Kind] = {"image": "text", "patient": "integer", "split": "text"}
    split = read_parquet(path, columns, key="image")
    allowed = (*SPLITS, LEFT_OUT)
    if strange := set(split["split"]) - set(allowed):
        raise unusable(path, f"is damaged: {quote(min(strange))} is none of {', '.join(allowed)}")
    try:
        check_disjoint(split["patient"], split["split"])
    except UserError as error:
        raise UserError(f"{path}: {error}; run `dvc repro --force patient-split`") from None
    return split


def check_disjoint(patients: pd.Series, splits: pd.Series) -> None:
    """Refuse a patient in two splits.

    Raises:
        UserError: naming the first such patient and how many there are.
    """
    counts = splits.groupby(patients.to_numpy()).nunique()
    straddling = counts.index[counts > 1]
    if len(straddling):
        raise UserError(f"{len(straddling)} patients are in two parts, first {straddling[0]}")


def check_in_split(images: Iterable[str], name: str, split: pd.DataFrame) -> None:
    """Refuse images outside a split.

    Args:
        images: names, such as those of predictions that say test.
        name: train, val or test.
        split: as :func:`read_split` reads it.

    Raises:
        UserError: naming the first such image and how many there are.
    """
    others = sorted(set(images) - set(split["image"][split["split"] == name]))
    if others:
        raise UserError(
            f"{len(others)} images are scored as {name}, but {SPLIT} does not have them there, "
            f"first {others[0]}; run `dvc repro`"
        )


def records_of(images: Sequence[str], path: str | Path = RECORDS) -> pd.DataFrame:
    """Read the records of some images, in their order, with the image as index.

    Raises:
        UserError: the file is missing or damaged, or lacks an image.
    """
    records = read_records(path).set_index("image")
    missing = [name for name in images if name not in records.index]
    if missing:
        raise unusable(path, f"lacks {len(missing)} predicted images, first {missing[0]}")
    return records.loc[[*images]]
