"""Heatmaps of image–finding pairs: their file, their size in pixels, and detected boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.raw import SHIPPED
from cxr14.errors import UserError
from cxr14.io import check_file, replacing, unusable
from cxr14.labels import BOXED, FINDINGS
from cxr14.localization.overlap import (
    BOX,
    CACHE_TRANSFORM,
    PAIR,
    Heat,
    Regions,
    hot_regions,
    scaled_to_255,
    to_source,
)
from cxr14.masks import SIDE, Mask

DETECTION_COLUMNS = [*PAIR, "heat_threshold", *BOX, "score", "scaling"]
SOURCE_SIZE = ["source_width", "source_height"]
Grids = npt.NDArray[np.float16]
"""(P, h, w), not negative; 1 is the map's own maximum (per_map) or the heat scale (fixed)."""


def boxed_pairs(boxes: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of image and finding that have a ground-truth box and pixels.

    Args:
        boxes: data/records/boxes.parquet.
        index: data/cache/index.parquet; an image that is not in it has no pixels.
        images: data/records/images.parquet, for the patient.

    Returns:
        image, finding, patient, row, scale, offset_x, offset_y; one row per pair, sorted. A point
        of the 1024×1024 image of the ground-truth boxes is in the cache at ``x * scale +
        offset_x``. If the file is a smaller copy of that image, its longer side counts as 1024.
    """
    pairs = boxes[PAIR].drop_duplicates().sort_values(PAIR)
    pairs = pairs.merge(images[["image", "patient"]], on="image", validate="many_to_one")
    columns = ["image", "row", *CACHE_TRANSFORM, *SOURCE_SIZE]
    pairs = pairs.merge(index[columns], on="image", validate="many_to_one")
    longer = pairs[SOURCE_SIZE].max(axis=1)
    pairs = pairs.drop(columns=SOURCE_SIZE)
    return pairs.assign(scale=pairs["scale"] * longer / SHIPPED)


def masked_pairs(masks: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of image and finding that have a mask and pixels.

    Args:
        masks: data/records/masks.parquet; a mask without any pixel in it is no pair.
        index: data/cache/index.parquet; an image that is not in it has no pixels.
        images: data/records/images.parquet, for the patient.

    Returns:
        image, finding, runs, patient, row, scale, offset_x, offset_y, source_width, source_height;
        one row per pair, sorted. Scale and offset are those of the index.
    """
    shown = masks[np.array([np.sum(runs[1::2]) > 0 for runs in masks["runs"]], bool)]
    pairs = shown.sort_values(PAIR, ignore_index=True)
    pairs = pairs.merge(images[["image", "patient"]], on="image", validate="many_to_one")
    columns = ["image", "row", *CACHE_TRANSFORM, *SOURCE_SIZE]
    return pairs.merge(index[columns], on="image", validate="many_to_one")


def cached_mask(mask: Mask, transform: npt.NDArray[np.float64], size: int) -> Mask:
    """Return which pixels of the cached image have their centre in a mask: (size, size).

    Args:
        mask: (SIDE, SIDE), over the whole of the source image.
        transform: scale, offset_x, offset_y, source_width and source_height of the image, see
            data/cache/index.parquet.
        size: side of the cached image in pixels.
    """
    scale, offset_x, offset_y, width, height = transform
    middles = np.arange(size) + 0.5
    across, down = (
        np.floor((middles - offset) * SIDE / (scale * length)).clip(-1, SIDE).astype(int) + 1
        for offset, length in ((offset_x, width), (offset_y, height))
    )
    return np.asarray(np.pad(mask, 1)[np.ix_(down, across)])  # outside of the source: False


def check_tested(pairs: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Check that all images with ground truth are in test.

    Args:
        pairs: see :func:`boxed_pairs` and :func:`masked_pairs`.
        predictions: predictions/B.parquet, with the split of each image.

    Raises:
        UserError: an image is not in test.
    """
    tested = predictions.loc[predictions["split"] == "test", "image"]
    untested = pairs.loc[~pairs["image"].isin(tested), "image"].unique()
    if len(untested):
        raise UserError(
            f"{len(untested)} boxed image(s) are not in test, first {untested[0]}, and boxes are "
            "for testing only; set split.official: false, and patients with boxes go to test"
        )


def listed_findings(pairs: pd.DataFrame) -> list[str]:
    """List the findings to report: the eight that NIH boxed, and any other that has a box here."""
    return [name for name in FINDINGS if name in BOXED or name in set(pairs["finding"])]


def validation_images(
    predictions: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame
) -> pd.DataFrame:
    """List the validation images that have pixels, sorted by name, with row and labels.

    Args:
        predictions: predictions/B.parquet, which holds images of val and test.
        index: data/cache/index.parquet, for the row.
        images: data/records/images.parquet, for the labels.
    """
    names = predictions.loc[predictions["split"] == "val", ["image"]].sort_values("image")
    rows = names.merge(index[["image", "row"]], on="image", validate="one_to_one")
    return rows.merge(images, on="image", validate="one_to_one")


def write_heatmaps(path: str | Path, pairs: pd.DataFrame, grids: Grids) -> None:
    """Write heatmaps.npz: ``image`` and ``finding`` (P,) text, ``heat`` float16 (P, h, w)."""
    image, finding = (pairs[column].to_numpy(str) for column in PAIR)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, image=image, finding=finding, heat=grids)


def load_heatmaps(file: IO[bytes]) -> tuple[pd.DataFrame, Grids]:
    """Read an open heatmaps.npz, see :func:`read_heatmaps`."""
    with np.load(file) as arrays:
        return pd.DataFrame({name: arrays[name] for name in PAIR}), arrays["heat"]


DAMAGED: Final = (BadZipFile, OSError, KeyError, ValueError)
"""What :func:`load_heatmaps` raises for a damaged file."""


def read_heatmaps(path: str | Path) -> tuple[pd.DataFrame, Grids]:
    """Read heatmaps.npz: a table of image and finding (P rows), and the grids (P, h, w).

    Raises:
        UserError: the file is missing or damaged.
    """
    check_file(path)
    try:
        with Path(path).open("rb") as file:
            return load_heatmaps(file)
    except DAMAGED as error:
        raise unusable(path, f"is damaged: {error}") from None


def upsampled(grids: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Upsample (M, h, w) bilinearly, corners not aligned, to (M, size, size) float32.

    As torch's ``interpolate`` (up to rounding), without torch, which a contact sheet does not need.
    """
    return _stretched(_stretched(grids, size, axis=2), size, axis=1)


def _stretched(values: npt.NDArray[np.float32], size: int, axis: int) -> npt.NDArray[np.float32]:
    """Interpolate (M, h, w) linearly along an axis to a length of ``size``."""
    length = values.shape[axis]
    at = np.maximum((np.arange(size) + 0.5) * (length / size) - 0.5, 0)  # pixel centres
    low = at.astype(np.intp)
    high = np.minimum(low + 1, length - 1)
    share = np.expand_dims((at - low).astype(np.float32), 2 - axis)
    stretched: npt.NDArray[np.float32] = values.take(low, axis)
    stretched *= 1 - share
    following = values.take(high, axis)
    following *= share
    stretched += following
    return stretched


def downsampled(pixels: npt.NDArray[np.float64], grid: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Average the pixels (S, S) of each cell: (h, w); pixels on a border count in both cells."""
    sums = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1))
    sums[1:, 1:] = pixels.cumsum(axis=0).cumsum(axis=1)
    ends = [_cells(length, cells) for length, cells in zip(pixels.shape, grid, strict=True)]
    (top, bottom), (left, right) = ends
    inside = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)]
    inside += sums[np.ix_(top, left)] - sums[np.ix_(bottom, left)]
    return np.asarray(inside / np.outer(bottom - top, right - left))


def _cells(length: int, cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first pixel of each of some cells of an axis, and the one after its last."""
    number = np.arange(cells)
    return number * length // cells, -(-(number + 1) * length // cells)


def heat_of(grids: Grids, size: int, scaling: str = "per_map") -> Heat:
    """Return the heatmaps (M, size, size), 0–255, of grids (M, h, w); scaling as they were made."""
    return np.minimum(uncut_heat(grids, size, scaling), 255)


def uncut_heat(grids: Grids, size: int, scaling: str = "per_map") -> Heat:
    """Return :func:`heat_of` without the limit of 255 (a fixed scale can exceed it)."""
    heat = upsampled(grids.astype(np.float32), size)
    return heat * 255 if scaling == "fixed" else scaled_to_255(heat)


CHUNK = 32
"""Heatmaps held in memory at a time."""


def detect(
    pairs: pd.DataFrame,
    grids: Grids,
    size: int,
    heat_thresholds: Sequence[int],
    scaling: str = "per_map",
) -> pd.DataFrame:
    """Detect the boxes of every pair at every heat threshold.

    Args:
        pairs: P rows, see :func:`boxed_pairs`.
        grids: (P, h, w).
        size: side of the cached images in pixels.
        heat_thresholds: of 255, each applied separately.
        scaling: per_map or fixed, as the grids were made.

    Returns:
        image, finding, heat_threshold, x, y, width, height (pixels of the shipped image),
        score (the highest heat inside the region, 0–255) and scaling.
    """
    found = {threshold: [Regions.none()] for threshold in heat_thresholds}
    for start in range(0, len(grids), CHUNK):
        heat = heat_of(grids[start : start + CHUNK], size, scaling)
        for threshold in heat_thresholds:
            regions = hot_regions(heat, threshold)
            found[threshold].append(regions._replace(map_index=regions.map_index + start))
    stacked = [Regions(*map(np.concatenate, zip(*parts, strict=True))) for parts in found.values()]
    every = Regions(*map(np.concatenate, zip(*stacked, strict=True)))
    thresholds = np.repeat(np.asarray(heat_thresholds), [len(part.map_index) for part in stacked])
    order = np.argsort(every.map_index, kind="stable")  # by pair; then thresholds as given
    rows = pairs.iloc[every.map_index[order]].reset_index(drop=True)
    detections = rows[PAIR].assign(heat_threshold=thresholds[order].astype(np.int64))
    scale, offset_x, offset_y = rows[CACHE_TRANSFORM].to_numpy(np.float64).T
    detections[BOX] = to_source(every.boxes[order], scale, offset_x, offset_y)
    return detections.assign(score=every.scores[order], scaling=scaling)[DETECTION_COLUMNS]
