"""The images that networks see, with part and labels, in the order of the cache.

Every array of the second pipeline, (N, C) logits and probabilities, has this order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.data.cache import INDEX, read_index
from cxr14.errors import UserError
from cxr14.files import read_npy, unusable


@dataclass(frozen=True)
class Seen:
    """N images of the cache.

    Attributes:
        images: their records, with the labels that were read.
        parts: (N,) train, val or test.
        rows: int64 (N,), the position of each in the records.
    """

    images: pd.DataFrame
    parts: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]

    def within(self, *parts: str) -> npt.NDArray[np.bool_]:
        """Say which images are in one of the parts: (N,)."""
        return np.isin(self.parts, parts)


def see(cache: str | Path, records: pd.DataFrame, split: pd.DataFrame) -> Seen:
    """Bring records and split into the order of the cache.

    Args:
        cache: data/cache.
        records: one row per image, with labels.
        split: image and split, in the order of the records.

    Raises:
        UserError: an image of the cache is not in the records, or the tables do not fit.
    """
    if split["image"].tolist() != records["image"].tolist():
        raise UserError("labels and split do not list the same images; run `dvc repro`")
    names = read_index(Path(cache) / INDEX)["image"]
    rows = pd.Index(records["image"]).get_indexer(names)
    if (rows < 0).any():
        raise UserError(f"{names[rows < 0].iloc[0]} is in {cache}, but not in the records")
    images = records.iloc[rows].reset_index(drop=True)
    return Seen(images, split["split"].to_numpy(str)[rows], rows.astype(np.int64))


def read_logits(path: Path, images: int, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Read a network's logits of every image of the cache, (images, classes).

    Raises:
        UserError: the file is missing, damaged, or of other images or classes.
    """
    logits = read_npy(path, np.float32, 2)
    if logits.shape != (images, len(classes)):
        raise unusable(path, f"holds {logits.shape} logits, expected {(images, len(classes))}")
    if not np.isfinite(logits).all():
        raise unusable(path, "is damaged: a logit is no finite number")
    return logits
