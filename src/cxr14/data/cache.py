"""The image cache: one uint8 array of all images, and an index that maps boxes exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError

ARRAY, INDEX = "images.npy", "index.parquet"


def open_cache(
    folder: str | Path = "data/cache",
) -> tuple["np.memmap[Any, np.dtype[np.uint8]]", pd.DataFrame]:
    """Open the cache without reading it.

    Returns:
        images: uint8 (N, S, S), mapped from the file, read only.
        index: one row per image: row, image, source_width, source_height, scale, offset_x,
            offset_y, sha256. A point of the file that was read lies in the cache at
            ``x * scale + offset_x`` and ``y * scale + offset_y``.

    Raises:
        FileNotFoundError: there is no cache; `dvc repro preprocess` makes it.
        UserError: array and index do not belong together.
    """
    array, index = Path(folder) / ARRAY, Path(folder) / INDEX
    if not (array.exists() and index.exists()):
        raise FileNotFoundError(f"no image cache in {folder}; make it with `dvc repro preprocess`")
    images = np.load(array, mmap_mode="r")
    table = pd.read_parquet(index)
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(table):
        raise UserError(f"{array} {images.dtype} {images.shape} does not fit {len(table)} rows")
    return images, table


def rows_of(index: pd.DataFrame, images: pd.Series) -> npt.NDArray[np.int64]:
    """Return the cache rows of the named images, in their order.

    Raises:
        UserError: an image is not in the cache.
    """
    rows = index.set_index("image").row.reindex(images)
    if rows.isna().any():
        missing = rows.index[rows.isna()]
        raise UserError(f"{len(missing)} images are not in the cache, first {missing[0]}")
    return rows.to_numpy(np.int64)
