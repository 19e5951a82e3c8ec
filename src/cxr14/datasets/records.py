"""Readers of the tables that `patient-split` writes, and of the facts on the data source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.errors import UserError, quote, remedy
from cxr14.io import Kind, read_json, read_parquet, unusable, write_csv, write_json, write_metrics
from cxr14.labels import FINDINGS, LABEL_COLUMNS, UNKNOWN

SOURCE = "data/records/source.json"
RECORDS = "data/records/images.parquet"
BOXES = "data/records/boxes.parquet"
SPLIT = "data/split/split.parquet"

SPLITS = ("train", "val", "test")

LEFT_OUT = "left out"
"""Value of a fold's column `split`: training images that its members do not use."""

NUMBERS = ("x", "y", "width", "height")


PHANTOM_NOTE: Final = "phantom radiographs: says nothing about patients"


@dataclass(frozen=True)
class Source:
    """The data source of a run.

    Attributes:
        name: phantom, folder or nih.
        phantom: whether the pixels are simulated.
        official_split: whether the split is that of the official lists.
    """

    name: str
    phantom: bool
    official_split: bool

    @property
    def flags(self) -> dict[str, int]:
        """The columns or metrics `phantom` and `official_split`, 0 or 1."""
        return {"phantom": int(self.phantom), "official_split": int(self.official_split)}

    @property
    def caution(self) -> str:
        """The sentence that precedes every table of results."""
        if self.phantom:
            return f"{PHANTOM_NOTE[0].upper()}{PHANTOM_NOTE[1:]}."
        split = "the official split" if self.official_split else "a split of our own, by patient"
        return f"Source {self.name}, {split}; not comparable with figures on another split."

    def label(self, title: str, form: str = "{} ({})") -> str:
        """Add the phantom note to a title or caption, as `form` has it, if pixels are simulated."""
        return form.format(title, PHANTOM_NOTE) if self.phantom else title


def read_source(path: str | Path = SOURCE) -> Source:
    """Read the data source that `patient-split` recorded.

    Raises:
        UserError: the file is missing or damaged.
    """
    return parse_source(read_json(path), str(path), remedy(path))


def write_source(source: Source, path: str | Path = SOURCE) -> None:
    """Write the file that :func:`read_source` reads."""
    facts = {"source": source.name, "phantom": source.phantom}
    write_json(path, facts | {"official_split": source.official_split})


def parse_source(facts: Any, file: str, advice: str = "") -> Source:
    """Check the content of source.json.

    Args:
        facts: the content.
        file: its name in the error.
        advice: end of the error.

    Raises:
        UserError: a value is missing or of the wrong type.
    """
    keys = ("source", "phantom", "official_split")
    name, phantom, official = map(facts.get if isinstance(facts, dict) else {}.get, keys)
    if isinstance(name, str) and isinstance(phantom, bool) and isinstance(official, bool):
        return Source(name, phantom, official)
    needed = "source is a name, phantom and official_split are true or false"
    raise UserError(f"{file} is damaged: {needed}{advice}")


def write_table(path: str | Path, table: pd.DataFrame, source: Source) -> None:
    """Write a table of results as CSV with a last column `phantom`, 0 or 1."""
    write_csv(path, table.assign(phantom=int(source.phantom)))


def write_result(path: str | Path, metrics: Mapping[str, Any], source: Source) -> None:
    """Write a metrics file with the entry `phantom`, 0 or 1."""
    write_metrics(path, {**metrics, "phantom": int(source.phantom)})


def read_records(path: str | Path = RECORDS) -> pd.DataFrame:
    """Read a table of labels: one row per image, every label 0, 1 or -1 (unknown).

    Raises:
        UserError: the file is missing or damaged.
    """
    labels: dict[str, Kind] = dict.fromkeys(LABEL_COLUMNS, "integer")
    records = read_parquet(path, {"image": "text", **labels}, key="image")
    wrong = [name for name in LABEL_COLUMNS if not records[name].isin([UNKNOWN, 0, 1]).all()]
    if wrong:
        raise unusable(path, f"is damaged: {wrong[0]} holds other values than 0, 1 and -1")
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
