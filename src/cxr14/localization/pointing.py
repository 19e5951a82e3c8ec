"""Scores without boxes: pointing game, energy, and overlap with the pixels of a mask."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.heatmaps import CHUNK, Grids, uncut_heat
from cxr14.localization.overlap import Heat
from cxr14.localization.scores import PixelMaps, ScoredPairs
from cxr14.metrics.auroc import Floats

MEASURES: Final = ("pointing", "energy")


def pointing(heat: Heat, inside: npt.NDArray[np.float64]) -> float:
    """Whether the hottest pixel lies in the ground truth (Zhang et al. 2016), without tolerance.

    The maximum is often a patch of equal pixels, as the border cells of a grid are not
    interpolated; then the score is the share of them that lies inside. A map without heat scores 0.

    Args:
        heat: (S, S), not negative.
        inside: (S, S) share of each pixel that the ground truth covers.
    """
    highest = heat.max()
    return float(inside[heat == highest].mean()) if highest > 0 else 0.0


def energy(heat: Heat, inside: npt.NDArray[np.float64]) -> float:
    """Share of all heat that lies inside the ground truth (Wang H. et al. 2020, section 4.3).

    A map without heat scores 0. Arguments as of :func:`pointing`.
    """
    total = heat.sum(dtype=np.float64)
    return float((heat * inside).sum() / total) if total else 0.0


def pixel_iou(hot: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of the hot pixels with a mask; both (S, S), the mask not empty."""
    shared = np.count_nonzero(hot & inside)
    return shared / (np.count_nonzero(hot) + np.count_nonzero(inside) - shared)


def heat_of_pairs(
    scored: ScoredPairs, grids: Mapping[str, Grids]
) -> Iterator[tuple[int, dict[str, Heat]]]:
    """Yield the index of each pair, and its heatmaps (S, S) by method.

    Heat is not clipped at 255: about half of the maps exceed a fixed scale, and clipping would hide
    their hottest pixel.
    """
    for start in range(0, len(scored.pairs), CHUNK):
        chunk = {
            method: uncut_heat(maps[start : start + CHUNK], scored.size, scored.scaling)
            for method, maps in grids.items()
        }
        for offset in range(len(next(iter(chunk.values())))):
            yield start + offset, {method: heat[offset] for method, heat in chunk.items()}


def score_maps(
    scored: ScoredPairs, grids: Mapping[str, Grids], heat_thresholds: Sequence[int] = ()
) -> dict[str, Floats]:
    """Score the heatmaps of each method against the ground truth.

    Args:
        scored: P pairs.
        grids: (P, h, w) by method.
        heat_thresholds: of the IoU of hot pixels with the ground truth.

    Returns:
        By method (P, 2 + T): pointing, energy, IoU at each threshold.
    """
    shape = len(scored.pairs), len(MEASURES) + len(heat_thresholds)
    scores = {method: np.zeros(shape) for method in grids}
    for index, heats in heat_of_pairs(scored, grids):
        inside = scored.inside(index)
        mask = inside >= 0.5
        for method, heat in heats.items():
            ious = [pixel_iou(heat > threshold, mask) for threshold in heat_thresholds]
            scores[method][index] = [pointing(heat, inside), energy(heat, inside), *ious]
    return scores


def pointing_table(scored: ScoredPairs, grids: Mapping[str, Grids]) -> pd.DataFrame:
    """Score the maps of each method without thresholds.

    Returns:
        pointing.csv: method, finding, n_pairs, empty (of these, maps without any heat, which score
        0; in the row of the mean their number over all findings), pointing, energy, and for each
        control pointing_difference and energy_difference: the first method's score minus its own,
        on the same replicates.
    """
    scores = score_maps(scored, grids)
    tables: list[pd.DataFrame] = []
    network, *_ = scores.values()
    for method, values in scores.items():
        measured = {name: scored.means(values[:, [k]]) for k, name in enumerate(MEASURES)}
        if tables:
            measured |= {
                f"{name}_difference": scored.differences(network[:, [k]], values[:, [k]])
                for k, name in enumerate(MEASURES)
            }
        table = scored.tidy([{"method": method}], measured)
        table.insert(3, "empty", scored.counts(np.asarray(~grids[method].any(axis=(1, 2)))))
        tables.append(table)
    return join_methods(tables)


def join_methods(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of methods; the first has no differences, so there they are null."""
    return pd.concat(tables, ignore_index=True)[list(tables[-1])]


def pixel_table(maps: PixelMaps, heat_thresholds: Sequence[int]) -> pd.DataFrame:
    """Score the maps of each method on the pixels of the masks.

    Args:
        maps: of the masked pairs; if there are none, every row says so.
        heat_thresholds: of 255, for the IoU.

    Returns:
        pixels.csv: method, measure (pointing, energy, iou), heat_threshold (of iou), finding,
        n_pairs, value, difference (the first method's value minus that of this control).
    """
    masked, grids = maps
    scores = score_maps(masked, grids, heat_thresholds)
    tables: list[pd.DataFrame] = []
    network, *_ = scores.values()
    keys: list[dict[str, Any]] = [{"measure": name, "heat_threshold": None} for name in MEASURES]
    keys += [{"measure": "iou", "heat_threshold": heat} for heat in heat_thresholds]
    for method, values in scores.items():
        measured = {"value": masked.means(values)}
        if tables:
            measured["difference"] = masked.differences(network, values)
        tables.append(masked.tidy([{"method": method, **key} for key in keys], measured))
    return join_methods(tables).astype({"heat_threshold": "Int64"})
