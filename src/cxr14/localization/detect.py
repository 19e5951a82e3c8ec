"""Detected boxes of image-finding pairs.

A pair is an image and a finding with at least one ground-truth box.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.raw import SHIPPED
from cxr14.errors import UserError
from cxr14.io import replacing
from cxr14.labels import BOXED, FINDINGS
from cxr14.localization.boxes import BOX, hot_boxes, scaled_to_255, to_source
from cxr14.localization.cam import heat_grids, upsampled

if TYPE_CHECKING:
    from cxr14.models.network import Network


CACHE_TRANSFORM = ["scale", "offset_x", "offset_y"]
DETECTION_COLUMNS = ["image", "finding", "heat_threshold", *BOX, "score", "scaling"]
Grids = npt.NDArray[np.float16]
"""(P, h, w), not negative; 1 is the map's own maximum (per_map) or the top of its scale (fixed)."""


def boxed_pairs(boxes: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of image and finding that have a ground-truth box and pixels.

    Args:
        boxes: data/records/boxes.parquet.
        index: data/cache/index.parquet; an image that is not in it has no pixels.
        images: data/records/images.parquet, for the patient.

    Returns:
        image, finding, patient, row, scale, offset_x, offset_y; one row a pair, sorted. A point of
        the 1024×1024 image of the ground-truth boxes is in the cache at ``x * scale + offset_x``,
        also where the file that was read is a smaller copy of it: its longer side is 1024 then.
    """
    pairs = boxes[["image", "finding"]].drop_duplicates().sort_values(["image", "finding"])
    pairs = pairs.merge(images[["image", "patient"]], on="image", validate="many_to_one")
    columns = ["image", "row", *CACHE_TRANSFORM, "source_width", "source_height"]
    pairs = pairs.merge(index[columns], on="image", validate="many_to_one")
    longer = np.maximum(pairs.pop("source_width"), pairs.pop("source_height"))
    return pairs.assign(scale=pairs["scale"] * longer / SHIPPED)


def check_tested(pairs: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Check that all boxed images are in test.

    Args:
        pairs: as :func:`boxed_pairs` lists them.
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
    """Name the findings to report: the eight that NIH boxed, and any other that has a box here."""
    return [name for name in FINDINGS if name in BOXED or name in set(pairs["finding"])]


def grids_of_pairs(
    network: "Network",
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    method: str,
    batch_size: int,
    heat_scale: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the heatmap of each pair on the network's grid, one forward pass an image.

    Values are rounded as in heatmaps.npz, so that the boxes can be reproduced from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, as :func:`boxed_pairs` lists them, of findings among its classes.
        method: one of cam.METHODS.
        batch_size: images per forward pass.
        heat_scale: the heat that becomes 1, by finding, for scaling = fixed (see
            :func:`cxr14.localization.heat_scale.scale_by_finding`); None: each map by its own
            minimum and maximum.

    Returns:
        (P, h, w) float16; with ``tops`` a hotter map exceeds 1, and negative heat is 0.
    """
    rows, image_index = np.unique(pairs["row"].to_numpy(np.int64), return_inverse=True)
    findings = [name for name in listed_findings(pairs) if name in network.classes]
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, images, rows, classes, method, batch_size)  # (images, C, h, w)
    column = pairs["finding"].map(findings.index).to_numpy(np.int64)
    pair_grids = grids[image_index, column]
    if heat_scale is None:
        return (scaled_to_255(pair_grids) / 255).astype(np.float16)
    top = pairs["finding"].map(heat_scale).to_numpy(np.float32)[:, None, None]
    # float16 ends at 65504.
    return np.asarray(np.clip(pair_grids / top, 0, 60_000), np.float16)


def write_heatmaps(path: str | Path, pairs: pd.DataFrame, grids: Grids) -> None:
    """Write heatmaps.npz: ``image`` and ``finding`` (P,) text, ``heat`` float16 (P, h, w)."""
    image, finding = (pairs[column].to_numpy(str) for column in ("image", "finding"))
    with replacing(path) as temporary:
        np.savez_compressed(temporary, image=image, finding=finding, heat=grids)


def heat_of(
    grid: npt.NDArray[np.float16], size: int, scaling: str = "per_map"
) -> npt.NDArray[np.float32]:
    """Turn one grid (h, w) into a heatmap (size, size) in 0–255; scaling as its grid was made."""
    return np.minimum(uncut_heat(grid, size, scaling), 255)


def uncut_heat(
    grid: npt.NDArray[np.float16], size: int, scaling: str = "per_map"
) -> npt.NDArray[np.float32]:
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
        pairs: P rows, as :func:`boxed_pairs` lists them.
        grids: (P, h, w).
        size: side of the cached images in pixels.
        heat_thresholds: of 255, each taken separately.
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
    keys = pairs[["image", "finding"]].merge(
        pd.DataFrame({"heat_threshold": np.asarray(heat_thresholds, np.int64)}), how="cross"
    )
    detections = keys.loc[np.repeat(np.arange(len(keys)), counts)].reset_index(drop=True)
    detections[BOX] = np.concatenate(boxes)
    return detections.assign(score=np.concatenate(scores), scaling=scaling)[DETECTION_COLUMNS]
