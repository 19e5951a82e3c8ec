"""Heatmaps of image–finding pairs, their normalization to 0–255, and detected boxes.

``per_map`` (Wang et al. 2017) scales each map from its minimum to its maximum. ``fixed`` keeps 0 at
0 (negative heat becomes 0), and one value per finding becomes 255, the **heat scale**: the median
of the hottest pixel over the validation images labelled with it.
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
from cxr14.localization.boxes import (
    BOX,
    CACHE_TRANSFORM,
    PAIR,
    Heat,
    hot_boxes,
    scaled_to_255,
    to_source,
)
from cxr14.localization.cam import heat_grids, upsampled

if TYPE_CHECKING:
    from cxr14.models.network import Network


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


# Normalization.

MAX_VALIDATION_IMAGES = 100
"""Maximum number of validation images per finding, which limits the run time."""

PER_MAP = "each map by its own minimum and maximum"
NOT_LABELLED = "no validation image is labelled so: median of the other findings"
NO_HEAT = "half of its validation images have no heat: median of the other findings"


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


def heat_scale(
    scaling: str,
    network: "Network",
    cache: npt.NDArray[np.uint8],
    validation: pd.DataFrame,
    findings: Sequence[str],
    method: str,
    batch_size: int,
) -> pd.DataFrame:
    """Compute for each finding the heat that maps to 255.

    Args:
        scaling: per_map or fixed.
        network: in eval mode.
        cache: (N, S, S) uint8.
        validation: see :func:`validation_images`; used for ``fixed`` only.
        findings: among the network's classes.
        method: one of cam.METHODS.
        batch_size: images per forward pass.

    Returns:
        finding, scaling, images (number used), heat_scale (above 0; null for ``per_map``) and
        reason (null where the finding's own images set the scale).

    Raises:
        UserError: no finding has heat in its validation images.
    """
    table = pd.DataFrame({"finding": list(findings)}).assign(scaling=scaling)
    if scaling == "per_map":
        return table.assign(images=0, heat_scale=np.nan, reason=PER_MAP)
    sampled = {name: _spaced(validation.loc[validation[name] == 1, "row"]) for name in findings}
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *sampled.values()]))
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, cache, rows, classes, method, batch_size)
    hottest = pd.DataFrame(grids.max(axis=(2, 3)), rows, list(findings))
    medians = [hottest.loc[rows, name].median() for name, rows in sampled.items()]  # NaN: no rows
    counts = [len(rows) for rows in sampled.values()]
    return _fill_missing(table.assign(images=counts, heat_scale=np.asarray(medians, np.float64)))


def _fill_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Fill a missing heat scale with the median of the others, and add the reason."""
    known = table["heat_scale"].where(table["heat_scale"] > 0)
    if len(known) and known.isna().all():
        raise UserError(
            "localize.scaling = fixed needs heat in validation images labelled with a boxed "
            "finding, and there is none; set localize.scaling to per_map"
        )
    reason = pd.Series(np.where(table["images"] > 0, NO_HEAT, NOT_LABELLED))
    filled = known.fillna(known.median())
    return table.assign(heat_scale=filled, reason=reason.where(known.isna(), None))


def scale_by_finding(scale: pd.DataFrame) -> dict[str, float] | None:
    """Return the heat that maps to 255 by finding; None for ``per_map``."""
    if (scale["scaling"] == "per_map").all():
        return None
    return dict(zip(scale["finding"], scale["heat_scale"], strict=True))


def _spaced(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most MAX_VALIDATION_IMAGES of the rows, evenly spaced."""
    count = min(len(rows), MAX_VALIDATION_IMAGES)
    indices = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return np.asarray(rows.to_numpy(np.int64)[indices])


# Heatmaps and their boxes.


def grids_of_pairs(
    network: "Network",
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    method: str,
    batch_size: int,
    scale: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the heatmap of each pair on the network's grid, one forward pass per image.

    Values are rounded as in heatmaps.npz, so that the boxes can be reproduced from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, see :func:`boxed_pairs`, of findings among the network's classes.
        method: one of cam.METHODS.
        batch_size: images per forward pass.
        scale: the heat that becomes 1, by finding (scaling = fixed); None: per map.

    Returns:
        (P, h, w) float16; with ``scale`` a hotter map exceeds 1, and negative heat is 0.
    """
    rows, image_index = np.unique(pairs["row"].to_numpy(np.int64), return_inverse=True)
    findings = [name for name in listed_findings(pairs) if name in network.classes]
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, images, rows, classes, method, batch_size)  # (images, C, h, w)
    column = pairs["finding"].map(findings.index).to_numpy(np.int64)
    pair_grids = grids[image_index, column]
    if scale is None:
        return (scaled_to_255(pair_grids) / 255).astype(np.float16)
    full_heat = pairs["finding"].map(scale).to_numpy(np.float32)[:, None, None]
    # float16 ends at 65504.
    return np.asarray(np.clip(pair_grids / full_heat, 0, 60_000), np.float16)


def write_heatmaps(path: str | Path, pairs: pd.DataFrame, grids: Grids) -> None:
    """Write heatmaps.npz: ``image`` and ``finding`` (P,) text, ``heat`` float16 (P, h, w)."""
    image, finding = (pairs[column].to_numpy(str) for column in PAIR)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, image=image, finding=finding, heat=grids)


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
