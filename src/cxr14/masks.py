"""Masks of the findings that a phantom shows, as run lengths in one table.

A radiologist's box tells about where a finding is; a phantom's mask tells exactly, for every image
and finding, so that pixel metrics exist. Only the source `phantom` has masks.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.io import read_parquet, unusable, write_parquet
from cxr14.labels import FINDINGS

MASKS: Final = "data/records/masks.parquet"
"""Written by patient-split: the masks of the test images; without rows for other sources."""

SIDE: Final = 256
"""Pixels per side of a mask. It covers the whole image, whatever the size of that in pixels."""

Mask = npt.NDArray[np.bool_]
COLUMNS: Final = ("image", "finding", "runs")


def encode_mask(mask: Mask) -> npt.NDArray[np.int32]:
    """Return the lengths of the runs of a mask (SIDE, SIDE), row by row.

    The first run is of False and may have length 0; they alternate from there. This is COCO's
    uncompressed encoding in row order.
    """
    flat = np.concatenate([[False], mask.ravel(), [not mask.flat[-1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(changes, prepend=0).astype(np.int32)


def decode_mask(runs: npt.NDArray[np.int32]) -> Mask:
    """Return the mask (SIDE, SIDE) of run lengths, see :func:`encode_mask`."""
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(SIDE, SIDE)


def mask_table(masks: Iterable[tuple[str, str, Mask]]) -> pd.DataFrame:
    """Return image, finding and runs of each (image, finding, mask)."""
    rows = [(image, finding, encode_mask(mask)) for image, finding, mask in masks]
    return pd.DataFrame(rows, columns=[*COLUMNS])


def write_masks(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of masks (image, finding, runs)."""
    write_parquet(path, table)


def read_masks(path: str | Path = MASKS) -> pd.DataFrame:
    """Read a table of masks: image, finding and runs (int32 arrays), one row per pair.

    Raises:
        UserError: the file is missing or damaged.
    """
    table = read_parquet(path, {"image": "text", "finding": "text", "runs": "any"})
    wrong = ~table["finding"].isin(FINDINGS)
    if wrong.any() or table.duplicated(["image", "finding"]).any():
        raise unusable(path, "is damaged: a finding is unknown, or a pair has two masks")
    if any(np.sum(runs) != SIDE**2 or np.min(runs) < 0 for runs in table["runs"]):
        raise unusable(path, f"is damaged: a mask does not have {SIDE}×{SIDE} pixels")
    return table


def masks_of(images: Iterable[str], path: str | Path) -> pd.DataFrame:
    """Read the masks of some images; none if the source has no table of masks.

    Raises:
        UserError: the file is damaged.
    """
    if not Path(path).exists():
        return mask_table([])
    table = read_masks(path)
    return table[table["image"].isin([*images])].reset_index(drop=True)
