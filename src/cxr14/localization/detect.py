"""Boxed findings and what a network's heatmaps find of them.

The unit is the pair of an image and a finding for which at least one box was drawn.
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


PLACE = ["scale", "offset_x", "offset_y"]
FOUND = ["image", "finding", "heat_threshold", *BOX, "score", "scaling"]
Grids = npt.NDArray[np.float16]
"""(P, h, w), not negative; 1 is the map's own maximum (per_map) or the top of its scale (fixed)."""


def boxed_pairs(boxes: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of image and finding that have a drawn box and pixels.

    Args:
        boxes: data/records/boxes.parquet.
        index: data/cache/index.parquet; an image that is not in it has no pixels.
        images: data/records/images.parquet, for the patient.

    Returns:
        image, finding, patient, row, scale, offset_x, offset_y; one row a pair, sorted. A point of
        the 1024×1024 image that boxes are drawn on lies in the cache at ``x * scale + offset_x``,
        also where the file that was read is a smaller copy of it: its longer side is 1024 then.
    """
    pairs = boxes[["image", "finding"]].drop_duplicates().sort_values(["image", "finding"])
    pairs = pairs.merge(images[["image", "patient"]], on="image", validate="many_to_one")
    columns = ["image", "row", *PLACE, "source_width", "source_height"]
    pairs = pairs.merge(index[columns], on="image", validate="many_to_one")
    longer = np.maximum(pairs.pop("source_width"), pairs.pop("source_height"))
    return pairs.assign(scale=pairs["scale"] * longer / SHIPPED)


def check_tested(pairs: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Refuse boxed images that the network may have been trained or chosen on.

    Args:
        pairs: as :func:`boxed_pairs` lists them.
        predictions: predictions/B.parquet, which says what is test.

    Raises:
        UserError: an image is not in test.
    """
    tested = predictions.loc[predictions["split"] == "test", "image"]
    others = pairs.loc[~pairs["image"].isin(tested), "image"].unique()
    if len(others):
        raise UserError(
            f"{len(others)} boxed image(s) are not in test, first {others[0]}, and boxes are for "
            "testing only; set split.official: false, and patients with boxes go to test"
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
    tops: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the heatmap of each pair on the network's grid, one forward pass an image.

    Boxes are drawn from these values, rounded as heatmaps.npz keeps them, so that they can be
    redrawn from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, as :func:`boxed_pairs` lists them, of findings among its classes.
        method: one of saliency.METHODS.
        batch_size: images per forward pass.
        tops: the heat that becomes 1, by finding, for scaling = fixed (see
            :func:`cxr14.localization.heat_scale.validation_tops`); None: each map by its own
            minimum and maximum.

    Returns:
        (P, h, w) float16; with ``tops`` a hotter map exceeds 1, and negative heat is 0.
    """
    rows, place = np.unique(pairs["row"].to_numpy(np.int64), return_inverse=True)
    findings = [name for name in listed_findings(pairs) if name in network.classes]
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, images, rows, classes, method, batch_size)  # (images, C, h, w)
    column = pairs["finding"].map(findings.index).to_numpy(np.int64)
    own = grids[place, column]
    if tops is None:
        return (scaled_to_255(own) / 255).astype(np.float16)
    top = pairs["finding"].map(tops).to_numpy(np.float32)[:, None, None]
    # float16 ends at 65504; so much over the top nothing depends on it.
    return np.asarray(np.clip(own / top, 0, 60_000), np.float16)


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
    """Do as :func:`heat_of`, but leave pixels above the top of a fixed scale above 255."""
    heat = upsampled(grid[None].astype(np.float32), size)[0]
    return heat * 255 if scaling == "fixed" else scaled_to_255(heat)


def detect(
    pairs: pd.DataFrame,
    grids: Grids,
    size: int,
    heat_thresholds: Sequence[int],
    scaling: str = "per_map",
) -> pd.DataFrame:
    """Draw the boxes of every pair at every heat threshold.

    Args:
        pairs: P rows, as :func:`boxed_pairs` lists them.
        grids: (P, h, w).
        size: side of the cached images in pixels.
        heat_thresholds: of 255, each taken separately.
        scaling: per_map or fixed, as the grids were made.

    Returns:
        image, finding, heat_threshold, x, y, width, height (pixels of the shipped image),
        score, the highest heat inside the region (0–255), and scaling, on which all of them
        depend.
    """
    places = pairs[PLACE].to_numpy(np.float64)
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    counts = []
    for grid, place in zip(grids, places, strict=True):
        heat = heat_of(grid, size, scaling)
        for threshold in heat_thresholds:
            own, hottest = hot_boxes(heat, threshold)
            boxes.append(to_source(own, *place))
            scores.append(hottest)
            counts.append(len(own))
    # A table once, not one a map: on the real set there are thousands of maps.
    asked = pairs[["image", "finding"]].merge(
        pd.DataFrame({"heat_threshold": np.asarray(heat_thresholds, np.int64)}), how="cross"
    )
    found = asked.loc[np.repeat(np.arange(len(asked)), counts)].reset_index(drop=True)
    found[BOX] = np.concatenate(boxes)
    return found.assign(score=np.concatenate(scores), scaling=scaling)[FOUND]
