"""Readers of the tables that `patient-split` writes, and of what is known of the data source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr14.errors import quote
from cxr14.files import Kind, read_json, read_parquet, unusable
from cxr14.findings import FINDINGS, LABEL_COLUMNS

SOURCE = "data/records/source.json"
RECORDS = "data/records/images.parquet"
BOXES = "data/records/boxes.parquet"
SPLIT = "data/split/split.parquet"

PARTS = ("train", "val", "test")

LEFT_OUT = "left out"
"""In a split of one fold of the second pipeline: images of train that its members do not see."""

NUMBERS = ("x", "y", "width", "height")


def read_source(*keys: str, path: str | Path = SOURCE) -> dict[str, Any]:
    """Read what is known of the data source: `source`, and `phantom`, whether it is simulated.

    Args:
        keys: others that the file must hold.
        path: of the file.

    Raises:
        UserError: the file is missing or damaged.
    """
    source: dict[str, Any] = read_json(path, "source", "phantom", *keys)
    if not isinstance(source["phantom"], bool) or not isinstance(source["source"], str):
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
    """Read a split: image and split (train, val or test).

    Raises:
        UserError: the file is missing or damaged.
    """
    split = read_parquet(path, {"image": "text", "split": "text"}, key="image")
    allowed = (*PARTS, LEFT_OUT)
    if strange := set(split["split"]) - set(allowed):
        raise unusable(path, f"is damaged: {quote(min(strange))} is none of {', '.join(allowed)}")
    return split


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
