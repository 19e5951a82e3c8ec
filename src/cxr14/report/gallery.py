"""Gallery of heatmaps: best hits and worst misses by finding, with what the page needs to redraw.

The page upsamples the heatmaps itself, so that a reader can move the heat threshold. Its script
(templates/gallery.js) follows :func:`cxr14.localization.heatmaps.detect` operation by operation.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxr14.config.localize import LocalizeParams
from cxr14.console import format_limit, format_number, is_missing
from cxr14.datasets.records import Source, read_boxes, read_records
from cxr14.evaluation.predictions import (
    classes_of,
    logit_columns,
    network_files,
    read_decision,
    read_predictions,
)
from cxr14.figures.overlays import HIT, Localized, hits_then_misses, main_overlaps
from cxr14.io import Kind, read_parquet, unusable
from cxr14.localization.heatmaps import boxed_pairs, heat_of, read_heatmaps
from cxr14.localization.overlap import BOX, CACHE_TRANSFORM, PAIR, Boxes, hot_regions, to_cache
from cxr14.metrics.calibration import platt_probabilities
from cxr14.preprocessing.cache import open_cache
from cxr14.report.elements import Gallery, Tile, TileGroup, data_uri, spaced

FIRST: Final = 3
"""Hits, and misses, on the first screen."""

QUALITY: Final = 80  # of the radiographs in WebP
HEAT_COLOUR: Final = (255, 59, 31)
STRONGEST: Final = 170  # opacity of the highest heat, of 255

DETECTIONS: Final[dict[str, Kind]] = {
    **{column: "text" for column in PAIR},
    **{column: "number" for column in ("heat_threshold", *BOX, "iobb", "iou")},
}


@dataclass(frozen=True)
class Heatmaps:
    """Heatmaps of one network with the images under them."""

    localized: Localized
    images: npt.NDArray[np.uint8]  # (N, S, S), the cache
    calibrated: pd.DataFrame  # probabilities by image and class; NaN for a class without scaling

    def heat(self, index: int) -> npt.NDArray[np.float32]:
        """Return the heat of a pair: (S, S), 0–255."""
        grids, size = self.localized.grids[[index]], self.images.shape[-1]
        (heat,) = heat_of(grids, size, self.localized.scaling)
        return np.asarray(heat)

    def truth(self, index: int) -> Boxes:
        """Return the ground-truth boxes of a pair (K, 4) in pixels of the cached image."""
        pair = self.localized.pairs.iloc[index]
        boxes = self.localized.ground_truth_boxes[tuple(pair[PAIR])]
        return to_cache(boxes, *pair[CACHE_TRANSFORM].to_numpy(np.float64))


def read_gallery(root: Path, backbone: str, params: LocalizeParams, source: Source) -> Gallery:
    """Read the heatmaps of a backbone, and select images of each finding.

    Args:
        root: of the project.
        backbone: its name.
        params: the block localize.
        source: of the images.

    Raises:
        UserError: a file is missing or damaged, or the heatmaps are not of the boxed images.
    """
    heatmaps = _read(root, backbone, params)
    start = max(params.heat_thresholds)
    caption = source.label(
        f"{backbone}, {params.method}; by finding, of its boxed test images, the best hits, then "
        f"the worst misses, by the IoU of the largest box at heat > {start}; not a random sample. "
        f"A hit has a detected box with IoBB > {format_limit(HIT)} at this heat; the tables pool "
        "the boxes of all heat thresholds, which hit more. Solid: ground-truth box; dashed: "
        "detected box, tight around a region hotter than the threshold; calibrated p: probability "
        "by Platt scaling."
    )
    groups = _groups(heatmaps, start)
    note = "phantom" if source.phantom else ""
    return Gallery(groups, start, params.heat_thresholds, params.scaling, HIT, caption, note)


def _read(root: Path, backbone: str, params: LocalizeParams) -> Heatmaps:
    folder, data = root / "localization" / backbone, root / "data"
    images, index = open_cache(data / "cache")
    keys, grids = read_heatmaps(folder / "heatmaps.npz")
    boxes = read_boxes(data / "records/boxes.parquet")
    known = boxed_pairs(boxes, index, read_records(data / "records/images.parquet"))
    pairs = keys.merge(known, on=PAIR, validate="one_to_one")
    if len(pairs) < len(keys):
        raise unusable(folder / "heatmaps.npz", "is not of the boxed images in data/cache")
    detections = read_parquet(folder / "detections.parquet", DETECTIONS)
    localized = Localized(pairs, grids, params.scaling, boxes, detections)
    return Heatmaps(localized, images, _calibrated(root, backbone))


def _calibrated(root: Path, backbone: str) -> pd.DataFrame:
    """Read the logits and the decision of a backbone, and return calibrated probabilities."""
    predictions, decision = (root / file for file in network_files(backbone))
    table = read_predictions(predictions)
    classes = classes_of(table)
    platt = read_decision(decision, classes)["platt"]
    values = platt_probabilities(table[logit_columns(classes)].to_numpy(), platt, classes)
    return pd.DataFrame(values, index=table["image"], columns=list(classes))


def _groups(heatmaps: Heatmaps, start: int) -> list[TileGroup]:
    pairs, detections = heatmaps.localized.pairs, heatmaps.localized.detections
    at_start = detections[detections["heat_threshold"] == start]
    best = at_start.groupby(PAIR)["iobb"].max()
    iobb = best.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0).to_numpy(np.float64)
    overlaps = main_overlaps(pairs, detections, start)
    groups = []
    for finding, group in pairs.reset_index(drop=True).groupby("finding"):
        indices = group.index.to_numpy()
        is_hit = iobb[indices] > HIT
        chosen = indices[hits_then_misses(list(group["image"]), is_hit, overlaps[indices])]
        tiles = [_tile(heatmaps, i, float(iobb[i]), float(overlaps[i]), start) for i in chosen]
        summary = f"{is_hit.sum()} of {len(group)} boxed images hit at heat > {start}"
        groups.append(TileGroup(str(finding), summary, tiles))
    return groups


def _tile(heatmaps: Heatmaps, index: int, iobb: float, overlap: float, start: int) -> Tile:
    pair, grid = heatmaps.localized.pairs.iloc[index], heatmaps.localized.grids[index]
    image, finding, heat = pair["image"], pair["finding"], heatmaps.heat(index)
    is_hit, detected = iobb > HIT, _numbers(hot_regions(heat[None], start).boxes)
    outcome = f"{'hit' if is_hit else 'miss'}, IoBB {format_number(iobb, 2)}"
    without_boxes = "miss, no box" if grid.any() else "miss, no heat"
    return Tile(
        image=image,
        finding=finding,
        is_hit=is_hit,
        overlap=overlap,
        calibrated=float(heatmaps.calibrated.loc[image, finding]),
        outcome=outcome if detected else without_boxes,
        picture=_encoded(Image.fromarray(heatmaps.images[pair["row"]]), "webp", quality=QUALITY),
        heat=_heat_picture(heat, grid.shape),
        grid=base64.b64encode(grid.astype("<f2").tobytes()).decode(),
        shape=(grid.shape[0], grid.shape[1]),
        size=heat.shape[0],
        truth=_numbers(heatmaps.truth(index)),
        detected=detected,
    )


def _heat_picture(heat: npt.NDArray[np.float32], shape: Sequence[int]) -> str:
    """Return the heat as a small transparent picture, which the browser enlarges smoothly."""
    height, width = shape
    small = Image.fromarray(heat).resize((width, height), Image.Resampling.BOX)
    opacity = (np.asarray(small) * (STRONGEST / 255)).astype(np.uint8)
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = HEAT_COLOUR, opacity
    return _encoded(Image.fromarray(pixels), "png")


def _encoded(picture: Image.Image, kind: str, **options: Any) -> str:
    content = BytesIO()
    picture.save(content, kind, **options)
    return data_uri(kind, content.getvalue())


def _numbers(boxes: Boxes) -> list[list[float]]:
    return [[round(float(end), 3) for end in box] for box in boxes]


def highlights(gallery: Gallery, source: Source) -> Gallery | None:
    """Return the best hit and the most confident miss of some findings; None without boxes.

    Hits are those with the highest IoU of the largest box; misses those with the highest
    calibrated probability, which are wrong about the position rather than about the finding.
    """
    tiles = [tile for group in gallery.groups for tile in group.tiles]
    hits = _one_per_finding(tile for tile in _sorted(tiles, "overlap") if tile.is_hit)
    misses = _one_per_finding(tile for tile in _sorted(tiles, "calibrated") if not tile.is_hit)
    groups = [
        TileGroup(title, "", chosen)
        for title, chosen in (("Best hits", hits), ("Misses of highest probability", misses))
        if chosen
    ]
    if not groups:
        return None
    caption = (
        "Hits with the highest overlap and misses with the highest calibrated probability, one per "
        "finding: a selection, not a random sample. Detected boxes, and hits by them, at heat > "
        f"{gallery.start} of 255. Calibrated p: probability of the finding by Platt scaling."
    )
    return replace(gallery, groups=groups, caption=source.label(caption))


def _sorted(tiles: Sequence[Tile], field: str) -> list[Tile]:
    """Sort tiles by a number, highest first; those without it are last."""

    def sort_key(tile: Tile) -> tuple[float, str, str]:
        value = getattr(tile, field)
        return inf if is_missing(value) else -value, tile.finding, tile.image

    return sorted(tiles, key=sort_key)


def _one_per_finding(tiles: Iterable[Tile]) -> list[Tile]:
    first: dict[str, Tile] = {}
    for tile in tiles:
        first.setdefault(tile.finding, tile)
    return list(first.values())[:FIRST]


def tile_label(tile: Tile) -> str:
    """Return the alternative text of a tile."""
    boxes = f"{len(tile.truth)} ground-truth and {len(tile.detected)} detected boxes"
    return f"{spaced(tile.finding)}, {tile.image}: {tile.outcome}; {boxes}"
