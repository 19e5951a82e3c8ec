"""The image cache: one uint8 array of all images, and an index that maps boxes exactly."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.io import read_npy, read_parquet, unusable

ARRAY, INDEX = "images.npy", "index.parquet"


def open_cache(
    folder: str | Path = "data/cache",
) -> tuple["np.memmap[Any, np.dtype[np.uint8]]", pd.DataFrame]:
    """Open the cache without reading it.

    Returns:
        images: uint8 (N, S, S), mapped from the file, read only.
        index: one row per image: row, image, source_width, source_height, scale, offset_x,
            offset_y, sha256, and pixel_spacing_x and pixel_spacing_y (mm per pixel of the file) if
            any file is a DICOM with them. A point (x, y) of the file is at
            ``x * scale + offset_x`` and ``y * scale + offset_y`` in the cache.

    Raises:
        UserError: there is no cache, a file is damaged, or array and index differ in length.
    """
    array, path = Path(folder) / ARRAY, Path(folder) / INDEX
    if not (array.exists() and path.exists()):
        raise UserError(f"no image cache in {folder}; run `dvc repro preprocess`")
    images = cast("np.memmap[Any, np.dtype[np.uint8]]", read_npy(array, np.uint8, 3, mapped=True))
    index = read_index(path)
    if len(images) != len(index) or images.shape[1] != images.shape[2]:
        raise unusable(array, f"{images.shape} does not fit the {len(index)} rows of {path}")
    return images, index


def read_index(path: str | Path = f"data/cache/{INDEX}") -> pd.DataFrame:
    """Read the index of a cache: row, image and geometry, one row per image.

    Raises:
        UserError: it is missing or damaged, or its rows are not 0, 1, 2, ….
    """
    index = read_parquet(path, {"row": "integer", "image": "text"}, key="image")
    if not np.array_equal(index["row"], np.arange(len(index))):
        raise unusable(path, f"is damaged: its rows are not 0 to {len(index) - 1}")
    return index


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
