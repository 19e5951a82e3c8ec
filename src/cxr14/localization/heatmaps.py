"""Heatmaps of image–finding pairs: their file, their size in pixels, and detected boxes."""

from collections.abc import Sequence
from pathlib import Path
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
    hot_boxes,
    scaled_to_255,
    to_source,
)

DETECTION_COLUMNS = [*PAIR, "heat_threshold", *BOX, "score", "scaling"]
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
    columns = ["image", "row", *CACHE_TRANSFORM, "source_width", "source_height"]
    pairs = pairs.merge(index[columns], on="image", validate="many_to_one")
    longer = np.maximum(pairs.pop("source_width"), pairs.pop("source_height"))
    return pairs.assign(scale=pairs["scale"] * longer / SHIPPED)


def check_tested(pairs: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Check that all boxed images are in test.

    Args:
        pairs: see :func:`boxed_pairs`.
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


def read_heatmaps(path: str | Path) -> tuple[pd.DataFrame, Grids]:
    """Read heatmaps.npz: a table of image and finding (P rows), and the grids (P, h, w).

    Raises:
        UserError: the file is missing or damaged.
    """
    check_file(path)
    try:
        with Path(path).open("rb") as file, np.load(file) as arrays:
            return pd.DataFrame({name: arrays[name] for name in PAIR}), arrays["heat"]
    except (BadZipFile, OSError, KeyError, ValueError) as error:
        raise unusable(path, f"is damaged: {error}") from None


def upsampled(grids: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Upsample (M, h, w) bilinearly, corners not aligned, to (M, size, size) float32.

    As torch's ``interpolate`` (up to rounding), without torch, which a contact sheet does not need.
    """
    wide = _stretched(grids, size)  # (M, h, size)
    return np.ascontiguousarray(_stretched(wide.swapaxes(1, 2), size).swapaxes(1, 2))


def _stretched(values: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Interpolate (…, n) linearly along the last axis to (…, size)."""
    length = values.shape[-1]
    at = np.maximum((np.arange(size) + 0.5) * (length / size) - 0.5, 0)  # pixel centres
    low = at.astype(np.intp)
    high = np.minimum(low + 1, length - 1)
    share = (at - low).astype(np.float32)
    return np.asarray(values[..., low] * (1 - share) + values[..., high] * share)


def heat_of(grid: npt.NDArray[np.float16], size: int, scaling: str = "per_map") -> Heat:
    """Return the heatmap (size, size), 0–255, of a grid (h, w); scaling as the grid was made."""
    return np.minimum(uncut_heat(grid, size, scaling), 255)


def uncut_heat(grid: npt.NDArray[np.float16], size: int, scaling: str = "per_map") -> Heat:
    """Return :func:`heat_of` without the limit of 255 (a fixed scale can exceed it)."""
    heat = upsampled(grid[None].astype(np.float32), size)[0]
    return heat * 255 if scaling == "fixed" else scaled_to_255(heat)


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
    transforms = pairs[CACHE_TRANSFORM].to_numpy(np.float64)
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    counts = []
    for grid, transform in zip(grids, transforms, strict=True):
        heat = heat_of(grid, size, scaling)
        for threshold in heat_thresholds:
            detected, hottest = hot_boxes(heat, threshold)
            boxes.append(to_source(detected, *transform))
            scores.append(hottest)
            counts.append(len(detected))
    # One table for all maps is faster than one per map.
    keys = pairs[PAIR].merge(
        pd.DataFrame({"heat_threshold": np.asarray(heat_thresholds, np.int64)}), how="cross"
    )
    detections = keys.loc[np.repeat(np.arange(len(keys)), counts)].reset_index(drop=True)
    detections[BOX] = np.concatenate(boxes)
    return detections.assign(score=np.concatenate(scores), scaling=scaling)[DETECTION_COLUMNS]
