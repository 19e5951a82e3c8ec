"""Contact sheets by finding: radiographs, heatmaps, ground-truth and detected boxes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cxr14.console import format_limit, format_number
from cxr14.datasets.records import Source
from cxr14.io import replacing
from cxr14.localization.heatmaps import Grids, heat_of
from cxr14.localization.overlap import BOX, CACHE_TRANSFORM, PAIR, Boxes, to_cache

COLUMNS = 4
PANELS = 8
TOP = 1.45  # inches above the panels, for the title and the captions of the first row
NAME = 20  # characters of a file name in a caption
NO_BOXES = np.zeros((0, 4))
HIT = 0.1
"""IoBB above which a box is a hit, as in the headline metrics."""

GROUND_TRUTH = "#00e5ff"
DETECTED: Final = ("#ffd400", "#ffffff", "#ff7ad9", "#8cff66")  # by rising heat threshold
# Red with opacity proportional to heat.
HEAT = ListedColormap(np.linspace((1.0, 0.1, 0.1, 0.0), (1.0, 0.1, 0.1, 0.4), 256))


@dataclass(frozen=True)
class Panel:
    """One radiograph of a contact sheet; boxes (K, 4) in pixels of the cached image."""

    image: npt.NDArray[np.uint8]  # (S, S)
    heat: npt.NDArray[np.float32]  # (S, S), 0–255
    ground_truth: Boxes
    detected: dict[int, Boxes]  # by heat threshold
    caption: str


def hits_then_misses(
    names: Sequence[str], is_hit: npt.NDArray[np.bool_], overlaps: npt.NDArray[np.float64]
) -> list[int]:
    """Choose the best hits and the worst misses, each sorted from the best to the worst.

    Args:
        names: of the images; the order of equal overlaps.
        is_hit: (n,) by image.
        overlaps: (n,) by image, see :func:`main_overlaps`.

    Returns:
        At most eight indices of ``names``, four hits and four misses; if there are fewer of one
        kind, more of the other.
    """

    def sort_key(index: int) -> tuple[bool, float, str]:
        return not is_hit[index], -overlaps[index], names[index]

    order = sorted(range(len(names)), key=sort_key)
    hits = int(np.count_nonzero(is_hit))
    misses = min(len(order) - hits, max(PANELS // 2, PANELS - hits))
    shown = min(hits, PANELS - misses)
    return order[:shown] + order[len(order) - misses :]


def main_overlaps(
    pairs: pd.DataFrame, detections: pd.DataFrame, heat_threshold: int
) -> npt.NDArray[np.float64]:
    """Return the IoU of the largest detected box of each of P pairs at a heat threshold: (P,).

    0 for a pair without a detected box. Not the best IoBB, which decides what is a hit: it is 1 for
    every speck inside a ground-truth box.
    """
    hot = detections[detections["heat_threshold"] == heat_threshold]
    area = hot["width"] * hot["height"]
    ordered = hot.iloc[np.argsort(-area, kind="stable")]
    largest = ordered.drop_duplicates(PAIR).set_index(PAIR)["iou"]
    return largest.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0).to_numpy(np.float64)


def draw_sheet(path: str | Path, title: str, panels: Sequence[Panel], source: Source) -> None:
    """Write a contact sheet as PNG; equal arguments give equal bytes.

    Args:
        path: of the PNG.
        title: of the sheet.
        panels: at least one.
        source: of the images.
    """
    rows = -(-len(panels) // COLUMNS)
    height = 3.15 * rows + TOP + 0.05
    figure = Figure(figsize=(2.6 * COLUMNS, height), dpi=100)
    # Fixed margins: matplotlib's automatic layout draws the figure twice.
    edges = {"left": 0.01, "right": 0.99, "top": 1 - TOP / height, "bottom": 0.45 / height}
    figure.subplots_adjust(**edges, wspace=0.04, hspace=0.2)
    figure.suptitle(source.label(title, "{}\n{}"), fontsize=15)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    figure.legend(handles=_legend(panels[0]), loc="lower center", ncols=4, fontsize=13)
    with replacing(path) as temporary:
        options = {"compress_level": 3}  # half the time of 6, 8 % more bytes
        figure.savefig(temporary, format="png", metadata={"Software": None}, pil_kwargs=options)


def _draw(axis: Axes, panel: Panel) -> None:
    size = panel.image.shape[0]
    for layer, colours in ((panel.image, "gray"), (panel.heat, HEAT)):
        axis.imshow(layer, cmap=colours, vmin=0, vmax=255, extent=(0, size, size, 0))
    _outline(axis, panel.ground_truth, GROUND_TRUTH, "-", 3.6)  # a detected box may cover it
    middles = np.arange(size) + 0.5
    low, high = panel.heat.min(), panel.heat.max()
    lines = {level: colour for level, colour in _colours(panel) if low <= level < high}
    if lines:  # else matplotlib warns that no contour exists
        at = middles, middles, panel.heat
        axis.contour(*at, levels=[*lines], colors=[*lines.values()], linewidths=1.2)
    for threshold, colour in _colours(panel):
        _outline(axis, panel.detected[threshold], colour, "--")
    axis.set_xlim(0, size)
    axis.set_ylim(size, 0)
    # With a fixed y matplotlib does not build the hidden ticks to find the title's place.
    axis.set_title(panel.caption, fontsize=14, y=1.0)


def _colours(panel: Panel) -> list[tuple[int, str]]:
    return list(zip(sorted(panel.detected), itertools.cycle(DETECTED), strict=False))


def _outline(axis: Axes, boxes: Boxes, colour: str, style: str, line: float = 2.2) -> None:
    shadow = [patheffects.Stroke(linewidth=line + 1.8, foreground="black"), patheffects.Normal()]
    for x, y, width, height in boxes:
        patch = Rectangle((x, y), width, height, fill=False, edgecolor=colour, linestyle=style)
        patch.set(linewidth=line, path_effects=shadow)
        axis.add_patch(patch)


def _legend(panel: Panel) -> list[Any]:
    return [
        Patch(facecolor="#555555", edgecolor=GROUND_TRUTH, linewidth=2.2, label="ground-truth box"),
        *(
            Patch(
                facecolor="#555555",
                edgecolor=colour,
                linestyle="--",
                label=f"heat > {heat} and its boxes",
            )
            for heat, colour in _colours(panel)
        ),
        Patch(facecolor="#ff1a1a", alpha=0.4, label="heat"),
    ]


@dataclass(frozen=True)
class Localized:
    """Heatmaps and boxes of P pairs of image and finding."""

    pairs: pd.DataFrame  # see heatmaps.boxed_pairs
    grids: Grids  # (P, h, w)
    scaling: str  # of the grids: per_map or fixed
    ground_truth: pd.DataFrame  # data/records/boxes.parquet
    detections: pd.DataFrame  # localization/B/detections.parquet

    @cached_property
    def ground_truth_boxes(self) -> dict[Any, Boxes]:
        """Boxes (K, 4) in pixels of the source image by image and finding."""
        return _grouped(self.ground_truth, PAIR)

    @cached_property
    def detected_boxes(self) -> dict[Any, Boxes]:
        """Boxes (K, 4) in pixels of the source image by image, finding and heat threshold."""
        return _grouped(self.detections, [*PAIR, "heat_threshold"])


def _grouped(table: pd.DataFrame, keys: list[str]) -> dict[Any, Boxes]:
    boxes = table[BOX].to_numpy(np.float64)
    return {key: boxes[rows] for key, rows in table.groupby(keys).indices.items()}


def draw_sheets(
    folder: str | Path,
    title: str,
    found: Localized,
    *,
    images: npt.NDArray[np.uint8],
    predictions: pd.DataFrame,
    heat_thresholds: Sequence[int],
    source: Source,
) -> None:
    """Write <folder>/<Finding>.png for every finding with boxed images; delete other PNGs.

    Args:
        folder: plots/localize/B; created if missing.
        title: start of the titles.
        found: heatmaps and boxes of the network.
        images: (N, S, S) uint8, the cache.
        predictions: predictions/B.parquet, for the captions.
        heat_thresholds: of 255.
        source: of the images.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    pairs, by_image = found.pairs, predictions.set_index("image")
    best = found.detections.groupby(PAIR)["iobb"].max()
    values = best.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0).to_numpy(float)
    highest = max(heat_thresholds)
    overlaps = main_overlaps(pairs, found.detections, highest)
    order = f"by the IoU of the largest box at heat > {highest}"
    for finding, group in pairs.reset_index(drop=True).groupby("finding"):
        indices = group.index.to_numpy()
        is_hit = values[indices] > HIT
        chosen = indices[hits_then_misses(list(group["image"]), is_hit, overlaps[indices])]
        probabilities = by_image[f"probability {finding}"]
        panels = []
        for index in chosen:
            image = pairs["image"].iloc[index]
            probability = format_number(probabilities.get(image), 2)
            outcome = _outcome(found.grids[index], values[index])
            caption = f"{_short(image)}\n{outcome}, p {probability}"
            panels.append(_panel(found, index, images, heat_thresholds, caption))
        selection = f"{is_hit.sum()} of {len(group)} boxed images hit (IoBB > {format_limit(HIT)})"
        heading = f"{title}, {finding}: {selection}\nbest hits, then worst misses, {order}"
        draw_sheet(folder / f"{finding}.png", heading, panels, source)


def _short(name: str) -> str:
    """Return the end of a long name, which would run into the next panel's."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def _outcome(grid: npt.NDArray[np.float16], iobb: float) -> str:
    """Return hit or miss with the best IoBB, or that there is no heat."""
    if not grid.any():
        return "MISS, no heat"
    return f"{'hit' if iobb > HIT else 'MISS'}, IoBB {format_number(iobb, 2)}"


def _panel(
    found: Localized,
    index: int,
    images: npt.NDArray[np.uint8],
    heat_thresholds: Sequence[int],
    caption: str,
) -> Panel:
    pair = found.pairs.iloc[index]
    key, transform = tuple(pair[PAIR]), pair[CACHE_TRANSFORM].to_numpy(np.float64)
    detected = {
        threshold: to_cache(found.detected_boxes.get((*key, threshold), NO_BOXES), *transform)
        for threshold in heat_thresholds
    }
    ground_truth = to_cache(found.ground_truth_boxes[key], *transform)
    (heat,) = heat_of(found.grids[[index]], images.shape[-1], found.scaling)
    return Panel(images[pair["row"]], heat, ground_truth, detected, caption)
