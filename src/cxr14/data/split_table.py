"""The split on disk: who is in train, val and test, checked whenever it is read."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxr14.errors import UserError

SPLIT = Path("data/split/split.parquet")
RERUN = "run `dvc repro --force patient-split`"


def read_split(path: str | Path = SPLIT) -> pd.DataFrame:
    """Read image, patient and split of all images; a fold's table has the same columns.

    Raises:
        FileNotFoundError: there is no such file; `dvc repro` makes it.
        UserError: it has other columns, or a patient is in two parts.
    """
    split = pd.read_parquet(path)
    missing = [name for name in ("image", "patient", "split") if name not in split]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; {RERUN}")
    try:
        check_disjoint(split.patient, split.split)
    except UserError as error:
        raise UserError(f"{path}: {error}; {RERUN}") from None
    return split


def check_disjoint(patients: pd.Series, parts: pd.Series) -> None:
    """Refuse a split in which a patient is in two parts.

    Raises:
        UserError: naming the first such patient and how many there are.
    """
    counts = parts.groupby(patients.to_numpy()).nunique()
    straddling = counts.index[counts > 1]
    if len(straddling):
        raise UserError(f"{len(straddling)} patients are in two parts, first {straddling[0]}")


def check_part(images: Iterable[str], part: str, split: pd.DataFrame) -> None:
    """Refuse images that are not in a part of the split.

    Args:
        images: names, such as those of predictions that say test.
        part: train, val or test.
        split: as :func:`read_split` reads it.

    Raises:
        UserError: naming the first such image and how many there are.
    """
    others = sorted(set(images) - set(split.image[split.split == part]))
    if others:
        raise UserError(
            f"{len(others)} images are scored as {part}, but {SPLIT} does not have them there, "
            f"first {others[0]}; run `dvc repro`"
        )
