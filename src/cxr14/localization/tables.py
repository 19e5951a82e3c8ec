"""Tables of metrics/localize/B/.

Each is tidy: key columns, finding (the last is ``mean``), n pairs, scores with their 95 %
interval, reason. Empty cells are null.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.io import METRIC_DIGITS
from cxr14.localization.boxes import POOLED, Limits, Rule, hits_and_false_boxes, rules
from cxr14.localization.controls import SIMILAR, Maps, cached_boxes, covered_cells
from cxr14.localization.detect import Grids, uncut_heat
from cxr14.localization.heat_scale import GRID, crossfit
from cxr14.localization.scores import BoxedPairs, Means, means_by_finding
from cxr14.metrics.bootstrap import ENDS

# Pointing game and energy in the box. A fixed scale is not clipped at 255 here, as about half of
# the maps exceed it, and clipping would hide their hottest pixel.


def pointing_and_energy(boxed: BoxedPairs, grids: Grids) -> npt.NDArray[np.float64]:
    """Score the heatmap (h, w) of each of P pairs: (P, 2), see :func:`pointing`, :func:`energy`."""
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


NO_OTHER_HALF = "all boxed images are of one patient: no other half to choose a threshold"


def accuracy_and_controls(
    boxed: BoxedPairs, overlaps: Mapping[str, pd.DataFrame], criteria: Sequence[Rule]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the boxes of the method and of the controls.

    Args:
        boxed: the boxed pairs.
        overlaps: detections with their overlaps by method; the first is the network's.
        criteria: K rules.

    Returns:
        accuracy.csv: measure, limit, heat, finding, n, accuracy, afp; and controls.csv: the same
        by method, with ``ahead``: the first method's accuracy minus this method's, with
        its interval from the same resamples.
    """
    keys = [rule._asdict() for rule in criteria]
    scores = {
        method: hits_and_false_boxes(boxed.pairs, boxes, criteria)
        for method, boxes in overlaps.items()
    }
    first, tables = next(iter(overlaps)), []
    for method, (hits, wrong) in scores.items():
        ahead = boxed.means(scores[first][0].astype(int) - hits)
        measured = {"accuracy": boxed.means(hits), "afp": boxed.means(wrong), "ahead": ahead}
        tables.append(boxed.tidy([{"method": method} | key for key in keys], measured))
    itself = tables[0].columns.str.startswith("ahead")
    tables[0].loc[:, itself] = np.nan
    return tables[0].loc[:, ~itself].drop(columns="method"), pd.concat(tables, ignore_index=True)


def pointing_table(boxed: BoxedPairs, maps: Mapping[str, Grids]) -> pd.DataFrame:
    """Score the maps of each method without thresholds.

    Returns:
        pointing.csv: method, finding, n, empty (of these n, maps without any heat, which score 0
        everywhere; the mean's is their number over all findings), pointing, energy.
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


def crossfit_table(
    boxed: BoxedPairs, overlaps: pd.DataFrame, criteria: Sequence[Rule]
) -> pd.DataFrame:
    """Score at the heat threshold chosen on the other half of the patients.

    Args:
        boxed: the boxed pairs.
        overlaps: detections at every threshold of heat_scale.GRID, with their overlaps.
        criteria: rules; their heat thresholds are ignored.

    Returns:
        measure, limit, chosen_on_first, chosen_on_second (heat thresholds, each scored on the
        other half), finding, n, accuracy, afp.
    """
    limits = list(dict.fromkeys((rule.measure, rule.limit) for rule in criteria))
    fitted = crossfit(boxed, overlaps, limits)
    keys = [
        {"measure": measure, "limit": limit, "chosen_on_first": first, "chosen_on_second": second}
        for (measure, limit), (first, second) in zip(limits, fitted.chosen, strict=True)
    ]
    measured = {"accuracy": boxed.means(fitted.hits), "afp": boxed.means(fitted.false_boxes)}
    table = boxed.tidy(keys, measured)
    unchosen = table["accuracy"].isna() & (table["n"] > 0).fillna(False)
    return table.assign(reason=table["reason"].mask(unchosen, NO_OTHER_HALF))


def sanity_check_table(boxed: BoxedPairs, similarity: pd.DataFrame) -> pd.DataFrame:
    """Average the similarity of maps with trained and with random weights.

    Args:
        boxed: the boxed pairs.
        similarity: see controls.sanity_check_similarity; of an ensemble, the rows of all its
            networks.

    Returns:
        anew, images, n (maps compared, of each network and pair), flat (those left out, as a flat
        map has no order), similarity (mean ρ), absolute (mean |ρ|), limit, unchanged (1 if
        ``absolute`` is above the limit), reason.
    """
    rows = []
    for level, column in similarity.items():
        known = column.dropna()
        indices, values = known.index.to_numpy(), known.to_numpy(np.float64)[:, None]
        group, weights = np.full(len(known), "all"), boxed.weights[:, indices]
        means = means_by_finding(values, group, ["all"], weights)
        names = [f"similarity{end}" for end in ENDS]
        rows.append(
            {"anew": level, "images": boxed.pairs["image"].iloc[indices].nunique()}
            | {"n": len(known), "flat": len(column) - len(known)}
            | {name: float(numbers[0, 0]) for name, numbers in zip(names, means, strict=True)}
            | {"absolute": float(column.abs().mean())}
        )
    table = pd.DataFrame(rows).assign(limit=SIMILAR)
    reason = np.where(table["n"] > 0, "", "no pair of maps to compare")
    return table.assign(unchanged=(table["absolute"] > SIMILAR).astype(int), reason=reason)


HEADLINE: Final = {
    "mean_accuracy_iobb_t10": Rule("iobb", 0.1, POOLED),
    "mean_accuracy_iobb_t50": Rule("iobb", 0.5, POOLED),
    "mean_accuracy_iou_t10": Rule("iou", 0.1, POOLED),
}
"""Rules of metrics/localize/B.json, independent of the limits of the tables."""


class Scores(NamedTuple):
    """Detected boxes, tables and headline of a network."""

    overlaps: pd.DataFrame  # its detected boxes with ``iobb`` and ``iou``
    tables: dict[str, pd.DataFrame]  # metrics/localize/B/<name>.csv
    headline: dict[str, Any]  # metrics/localize/B.json


def score(maps: Maps, limits: Limits) -> Scores:
    """Score heatmaps and control baselines against the ground-truth boxes.

    Args:
        maps: of the boxed pairs.
        limits: of the tables.
    """
    boxed, criteria, heats = maps.boxed, rules(limits), limits.heat_thresholds
    all_detections = boxed.overlaps(maps.network_grids, sorted({*heats, *GRID}))
    detections = all_detections[all_detections["heat_threshold"].isin(heats)].reset_index(drop=True)
    _, *controls = maps.grids.items()
    control_detections = {name: boxed.overlaps(grids, heats) for name, grids in controls}
    accuracy, beside = accuracy_and_controls(
        boxed, {maps.method: detections} | control_detections, criteria
    )
    tables = {
        "accuracy": accuracy,
        "controls": beside,
        "pointing": pointing_table(boxed, maps.grids),
        "crossfit": crossfit_table(boxed, all_detections, criteria),
        "randomisation": sanity_check_table(boxed, maps.similarity),
    }
    rounded = {"scale": maps.scale} | {
        name: table.round(METRIC_DIGITS) for name, table in tables.items()
    }
    return Scores(detections, rounded, headline(boxed, all_detections, detections, tables))


def headline(
    boxed: BoxedPairs,
    all_detections: pd.DataFrame,
    detections: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Return the content of metrics/localize/B.json: means over findings, NaN where missing.

    Args:
        boxed: the boxed pairs.
        all_detections: the network's detections at every threshold of heat_scale.GRID, with
        overlaps.
        detections: the same at the heat thresholds of the tables.
        tables: pointing (the network's method first) and randomisation, as :func:`score` has them.
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
        "randomisation_similarity": tables["randomisation"]["similarity"].iloc[-1],
    }


def _means(names: Sequence[str], means: Means) -> dict[str, float]:
    return {
        name + end: float(numbers[-1, column])
        for column, name in enumerate(names)
        for end, numbers in zip(ENDS, means, strict=True)
    }
