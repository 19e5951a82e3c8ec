"""Tables of metrics/localize/B/, and the headline of metrics/localize/B.json.

Each table is tidy: key columns, finding (the last is ``mean``), n_pairs, scores with their 95 %
interval, reason. Empty cells are null.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.io import METRIC_DIGITS
from cxr14.localization.heatmaps import Grids, uncut_heat
from cxr14.localization.overlap import (
    POOLED,
    Rule,
    Thresholds,
    cached_boxes,
    covered_cells,
    hits_and_false_boxes,
    rules,
)
from cxr14.localization.sanity_check import sanity_check_table
from cxr14.localization.scores import BoxedPairs, Maps, Means, plain_means
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import ENDS


def pointing_and_energy(boxed: BoxedPairs, grids: Grids) -> npt.NDArray[np.float64]:
    """Score the heatmap (h, w) of each of P pairs: (P, 2), see :func:`pointing`, :func:`energy`.

    Heat is not clipped at 255: about half of the maps exceed a fixed scale, and clipping would hide
    their hottest pixel.
    """
    size, scores = boxed.size, []
    for grid, boxes in zip(grids, cached_boxes(boxed.pairs, boxed.ground_truth), strict=True):
        heat = uncut_heat(grid, size, boxed.scaling)
        inside = covered_cells(boxes, size, (size, size))
        scores.append((pointing(heat, inside), energy(heat, inside)))
    return np.asarray(scores, np.float64).reshape(-1, 2)


def pointing(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Whether the hottest pixel lies in a ground-truth box (Zhang et al. 2016), without tolerance.

    The maximum is often a patch of equal pixels, as the border cells of a grid are not
    interpolated; then the score is the share of them that lies inside. A map without heat scores 0.

    Args:
        heat: (S, S), not negative.
        inside: (S, S) share of each pixel that the ground-truth boxes cover.
    """
    return float(inside[heat == heat.max()].mean()) if heat.any() else 0.0


def energy(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Share of all heat that lies inside the ground-truth boxes (Wang H. et al. 2020, section 4.3).

    A map without heat scores 0. Arguments as of :func:`pointing`.
    """
    total = heat.sum(dtype=np.float64)
    return float((heat * inside).sum() / total) if total else 0.0


def accuracy_and_controls(
    boxed: BoxedPairs, overlaps: Mapping[str, pd.DataFrame], criteria: Sequence[Rule]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the boxes of the method and of the control baselines.

    Args:
        boxed: the boxed pairs.
        overlaps: detections with their overlaps by method; the first is the network's.
        criteria: K rules.

    Returns:
        accuracy.csv: measure, overlap_threshold, heat_threshold, finding, n_pairs, accuracy, afp.
        controls.csv: the same by method, with ``difference``: accuracy of the first method minus
        that of this one, on the same replicates.
    """
    keys = [rule._asdict() for rule in criteria]
    scores = {
        method: hits_and_false_boxes(boxed.pairs, boxes, criteria)
        for method, boxes in overlaps.items()
    }
    network_hits, tables = next(iter(scores.values()))[0].astype(int), []
    for method, (hits, false_boxes) in scores.items():
        measured = {"accuracy": boxed.means(hits), "afp": boxed.means(false_boxes)}
        measured["difference"] = boxed.means(network_hits - hits)
        tables.append(boxed.tidy([{"method": method} | key for key in keys], measured))
    network = tables[0]
    differences = [f"difference{end}" for end in ENDS]
    network[differences] = np.nan
    accuracy = network.drop(columns=["method", *differences])
    return accuracy, pd.concat(tables, ignore_index=True)


def pointing_table(boxed: BoxedPairs, maps: Mapping[str, Grids]) -> pd.DataFrame:
    """Score the maps of each method without thresholds.

    Returns:
        pointing.csv: method, finding, n_pairs, empty (of these, maps without any heat, which score
        0; in the row of the mean their number over all findings), pointing, energy.
    """
    tables = []
    for method, grids in maps.items():
        scores = pointing_and_energy(boxed, grids)
        measured = {
            name: boxed.means(scores[:, [column]])
            for column, name in enumerate(("pointing", "energy"))
        }
        table = boxed.tidy([{"method": method}], measured)
        table.insert(3, "empty", boxed.counts(np.asarray(~grids.any(axis=(1, 2)))))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


# Cross-fitted heat threshold: chosen on each half of the boxed patients, scored on the other half.

GRID: Final = tuple(range(30, 241, 30))  # heat thresholds to choose from; 60 and 180 are among them
NO_OTHER_HALF = "all boxed images are of one patient: no other half to choose a threshold"


class CrossFit(NamedTuple):
    """Scores of each pair at the threshold chosen on the other half of the patients."""

    hits: Floats  # (P, K) of 0 and 1; NaN if the other half is empty
    false_boxes: Floats  # (P, K) boxes that are no hit
    chosen: list[tuple[int | None, ...]]  # K: on the first half, on the second


def crossfit(
    boxed: BoxedPairs, overlaps: pd.DataFrame, measures: Sequence[tuple[str, float]]
) -> CrossFit:
    """Choose a heat threshold on each half and score it on the other.

    The threshold of :data:`GRID` with the highest mean accuracy over findings is chosen; of ties
    the one with the fewest false boxes, then the lowest.

    Args:
        boxed: the boxed pairs and the halves.
        overlaps: their detections at every threshold of GRID, with overlaps.
        measures: K pairs of a measure (iobb or iou) and T; each has its own choice.
    """
    halves = (~boxed.second_half, boxed.second_half)
    hits, false_boxes = np.full((2, len(boxed.pairs), len(measures)), np.nan)
    chosen = []
    for column, (measure, threshold) in enumerate(measures):
        criteria = [Rule(measure, threshold, heat) for heat in GRID]
        hit_at, false_at = hits_and_false_boxes(boxed.pairs, overlaps, criteria)  # (P, thresholds)
        best = [_best_threshold_index(boxed, hit_at, false_at, half) for half in halves]
        for index, scored in zip(best, reversed(halves), strict=True):
            if index is not None:
                hits[scored, column] = hit_at[scored, index]
                false_boxes[scored, column] = false_at[scored, index]
        chosen.append(tuple(None if index is None else GRID[index] for index in best))
    return CrossFit(hits, false_boxes, chosen)


def _best_threshold_index(
    boxed: BoxedPairs,
    hits: npt.NDArray[np.bool_],
    false_boxes: npt.NDArray[np.int64],
    half: npt.NDArray[np.bool_],
) -> int | None:
    """Index in GRID of the threshold chosen on a half; None if the half is empty."""
    if not half.any():
        return None
    accuracy, afp = (
        plain_means(values[half], boxed.finding_of_pair[half], boxed.findings)[-1]
        for values in (hits, false_boxes)
    )
    return int(np.lexsort((np.array(GRID), afp, -accuracy))[0])


def crossfit_table(
    boxed: BoxedPairs, overlaps: pd.DataFrame, criteria: Sequence[Rule]
) -> pd.DataFrame:
    """Score at the heat threshold chosen on the other half of the patients.

    Args:
        boxed: the boxed pairs.
        overlaps: detections at every threshold of GRID, with their overlaps.
        criteria: rules; their heat thresholds are ignored.

    Returns:
        measure, overlap_threshold, chosen_on_first, chosen_on_second (heat thresholds, each scored
        on the other half), finding, n_pairs, accuracy, afp.
    """
    measures = list(dict.fromkeys((rule.measure, rule.overlap_threshold) for rule in criteria))
    fitted = crossfit(boxed, overlaps, measures)
    names = ("measure", "overlap_threshold", "chosen_on_first", "chosen_on_second")
    keys = [
        dict(zip(names, (*measure, *chosen), strict=True))
        for measure, chosen in zip(measures, fitted.chosen, strict=True)
    ]
    measured = {"accuracy": boxed.means(fitted.hits), "afp": boxed.means(fitted.false_boxes)}
    table = boxed.tidy(keys, measured)
    unchosen = table["accuracy"].isna() & (table["n_pairs"] > 0).fillna(False)
    return table.assign(reason=table["reason"].mask(unchosen, NO_OTHER_HALF))


HEADLINE: Final = {
    "mean_accuracy_iobb_t10": Rule("iobb", 0.1, POOLED),
    "mean_accuracy_iobb_t50": Rule("iobb", 0.5, POOLED),
    "mean_accuracy_iou_t10": Rule("iou", 0.1, POOLED),
}
"""Rules of metrics/localize/B.json, independent of the thresholds of the tables."""


class Scores(NamedTuple):
    """Detected boxes, tables and headline of a network."""

    overlaps: pd.DataFrame  # its detected boxes with ``iobb`` and ``iou``
    tables: dict[str, pd.DataFrame]  # metrics/localize/B/<name>.csv
    headline: dict[str, Any]  # metrics/localize/B.json


def score(maps: Maps, thresholds: Thresholds) -> Scores:
    """Score heatmaps and control baselines against the ground-truth boxes.

    Args:
        maps: of the boxed pairs.
        thresholds: of the tables.
    """
    boxed, criteria, heats = maps.boxed, rules(thresholds), thresholds.heat_thresholds
    all_detections = boxed.overlaps(maps.network_grids, sorted({*heats, *GRID}))
    detections = all_detections[all_detections["heat_threshold"].isin(heats)].reset_index(drop=True)
    _, *controls = maps.grids.items()
    overlaps = {maps.method: detections}
    overlaps |= {name: boxed.overlaps(grids, heats) for name, grids in controls}
    accuracy, beside_controls = accuracy_and_controls(boxed, overlaps, criteria)
    tables = {
        "accuracy": accuracy,
        "controls": beside_controls,
        "pointing": pointing_table(boxed, maps.grids),
        "crossfit": crossfit_table(boxed, all_detections, criteria),
        "sanity_check": sanity_check_table(boxed, maps.similarity),
    }
    rounded = {name: table.round(METRIC_DIGITS) for name, table in tables.items()}
    summary = headline(boxed, all_detections, detections, tables)
    return Scores(detections, {"scale": maps.scale} | rounded, summary)


def headline(
    boxed: BoxedPairs,
    all_detections: pd.DataFrame,
    detections: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Return the content of metrics/localize/B.json: means over findings, NaN where missing.

    Args:
        boxed: the boxed pairs.
        all_detections: the network's detections at every threshold of GRID, with overlaps.
        detections: the same at the heat thresholds of the tables.
        tables: pointing (the network's method first) and sanity_check, see :func:`score`.
    """
    hits, _ = hits_and_false_boxes(boxed.pairs, detections, list(HEADLINE.values()))
    fitted = crossfit_table(boxed, all_detections, [HEADLINE["mean_accuracy_iobb_t10"]]).iloc[-1]
    n_images = int(boxed.pairs["image"].nunique())
    pointing = tables["pointing"].iloc[len(boxed.findings)]  # the first method's mean
    return {
        "boxed_images": n_images,
        "boxed_images_without_pixels": int(boxed.ground_truth["image"].nunique()) - n_images,
        "boxed_pairs": len(boxed.pairs),
        "findings_scored": int(boxed.pairs["finding"].nunique()),
        **_means(list(HEADLINE), boxed.means(hits)),
        **{
            f"mean_{name}{end}": pointing[name + end]
            for name in ("pointing", "energy")
            for end in ENDS
        },
        **{f"crossfit_mean_accuracy_iobb_t10{end}": fitted[f"accuracy{end}"] for end in ENDS},
        "sanity_check_similarity": tables["sanity_check"]["similarity"].iloc[-1],
    }


def _means(names: Sequence[str], means: Means) -> dict[str, float]:
    return {
        name + end: float(numbers[-1, column])
        for column, name in enumerate(names)
        for end, numbers in zip(ENDS, means, strict=True)
    }
