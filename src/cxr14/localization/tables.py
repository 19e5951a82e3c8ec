"""The tables of metrics/localize/B/: what they hold, row by row.

Each is tidy: what tells its rows apart, finding (the last is ``mean``), n pairs, scores with
their 95 % interval, reason. Empty cells are null.
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
from cxr14.localization.scores import Cases, Means, means_by_finding
from cxr14.metrics.bootstrap import ENDS

# Two scores of a heatmap that need no threshold: the pointing game and the energy in the box.
#
# A fixed scale is not cut at its top here. About half of the maps exceed it: cut, their hottest
# pixel would be any of a wide field, and a peak would count as much as what surrounds it.


def pointing_and_energy(cases: Cases, grids: Grids) -> npt.NDArray[np.float64]:
    """Score the heatmap (h, w) of each of P pairs: (P, 2), see :func:`pointing`, :func:`energy`."""
    size, scores = cases.size, []
    for grid, boxes in zip(grids, cached_boxes(cases.pairs, cases.drawn), strict=True):
        heat = uncut_heat(grid, size, cases.scaling)
        inside = covered_cells(boxes, size, (size, size))
        scores.append((pointing(heat, inside), energy(heat, inside)))
    return np.asarray(scores, np.float64).reshape(-1, 2)


def pointing(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Whether the hottest pixel lies in a drawn box (Zhang et al. 2016), without tolerance.

    The maximum is often a patch of equal pixels, as the border cells of a grid are not
    interpolated; then the score is the share of them that lies inside, which is what a pixel
    drawn from them would score on average. A map without heat points nowhere and scores 0.

    Args:
        heat: (S, S), not negative.
        inside: (S, S) share of each pixel that the drawn boxes cover.
    """
    return float(inside[heat == heat.max()].mean()) if heat.any() else 0.0


def energy(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Share of all heat that lies inside the drawn boxes (Wang H. et al. 2020, section 4.3).

    A map without heat scores 0. Arguments as of :func:`pointing`.
    """
    total = heat.sum(dtype=np.float64)
    return float((heat * inside).sum() / total) if total else 0.0


NO_OTHER_HALF = "all boxed images are of one patient: no other half to choose a threshold"


def accuracy_and_controls(
    cases: Cases, overlaps: Mapping[str, pd.DataFrame], asked: Sequence[Rule]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the boxes of the method and of the controls.

    Args:
        cases: the boxed pairs.
        overlaps: detections with their overlaps by method; the first is the network's.
        asked: K rules.

    Returns:
        accuracy.csv: measure, limit, heat, finding, n, accuracy, afp; and controls.csv: the same
        by method, with ``ahead``: by how much the first method's accuracy exceeds this one's, its
        interval from the same resamples.
    """
    keys = [rule._asdict() for rule in asked]
    scores = {
        method: hits_and_false_boxes(cases.pairs, boxes, asked)
        for method, boxes in overlaps.items()
    }
    first, tables = next(iter(overlaps)), []
    for method, (hits, wrong) in scores.items():
        ahead = cases.means(scores[first][0].astype(int) - hits)
        measured = {"accuracy": cases.means(hits), "afp": cases.means(wrong), "ahead": ahead}
        tables.append(cases.tidy([{"method": method} | key for key in keys], measured))
    itself = tables[0].columns.str.startswith("ahead")
    tables[0].loc[:, itself] = np.nan
    return tables[0].loc[:, ~itself].drop(columns="method"), pd.concat(tables, ignore_index=True)


def pointing_table(cases: Cases, maps: Mapping[str, Grids]) -> pd.DataFrame:
    """Score the maps of each method without thresholds.

    Returns:
        pointing.csv: method, finding, n, empty (of these n, maps without any heat, which score 0
        everywhere; the mean's is their number over all findings), pointing, energy.
    """
    tables = []
    for method, grids in maps.items():
        scores = pointing_and_energy(cases, grids)
        measured = {
            name: cases.means(scores[:, [column]])
            for column, name in enumerate(("pointing", "energy"))
        }
        table = cases.tidy([{"method": method}], measured)
        table.insert(3, "empty", cases.counts(np.asarray(~grids.any(axis=(1, 2)))))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def crossfit_table(cases: Cases, overlaps: pd.DataFrame, asked: Sequence[Rule]) -> pd.DataFrame:
    """Score at the heat threshold that the other half of the patients chose.

    Args:
        cases: the boxed pairs.
        overlaps: detections at every threshold of crossfit.GRID, with their overlaps.
        asked: rules, whose heat thresholds are not looked at.

    Returns:
        measure, limit, chosen_on_first, chosen_on_second (heat thresholds, each scored on the
        other half), finding, n, accuracy, afp.
    """
    limits = list(dict.fromkeys((rule.measure, rule.limit) for rule in asked))
    fitted = crossfit(cases, overlaps, limits)
    keys = [
        {"measure": measure, "limit": limit, "chosen_on_first": first, "chosen_on_second": second}
        for (measure, limit), (first, second) in zip(limits, fitted.chosen, strict=True)
    ]
    measured = {"accuracy": cases.means(fitted.hits), "afp": cases.means(fitted.wrong)}
    table = cases.tidy(keys, measured)
    unchosen = table["accuracy"].isna() & (table["n"] > 0).fillna(False)
    return table.assign(reason=table["reason"].mask(unchosen, NO_OTHER_HALF))


def randomisation_table(cases: Cases, similarity: pd.DataFrame) -> pd.DataFrame:
    """Average the similarity of maps before and after weights were made anew.

    Args:
        cases: the boxed pairs.
        similarity: see randomisation.randomised_similarity; of an ensemble, the rows of all its
            networks.

    Returns:
        anew, images, n (maps compared, of each network and pair), flat (those left out, as a flat
        map has no order), similarity (mean ρ), absolute (mean |ρ|: a map turned inside out shows
        the image as well), limit, unchanged (1 if ``absolute`` is above the limit), reason.
    """
    rows = []
    for anew, column in similarity.items():
        known = column.dropna()
        places, values = known.index.to_numpy(), known.to_numpy(np.float64)[:, None]
        together, weights = np.full(len(known), "all"), cases.weights[:, places]
        means = means_by_finding(values, together, ["all"], weights)
        names = [f"similarity{end}" for end in ENDS]
        rows.append(
            {"anew": anew, "images": cases.pairs["image"].iloc[places].nunique()}
            | {"n": len(known), "flat": len(column) - len(known)}
            | {name: float(numbers[0, 0]) for name, numbers in zip(names, means, strict=True)}
            | {"absolute": float(column.abs().mean())}
        )
    table = pd.DataFrame(rows).assign(limit=SIMILAR)
    reason = np.where(table["n"] > 0, "", "no pair of maps to compare")
    return table.assign(unchanged=(table["absolute"] > SIMILAR).astype(int), reason=reason)


# All that localisation reports of a network: tables, and the few numbers at their top.


HEADLINE: Final = {
    "mean_accuracy_iobb_t10": Rule("iobb", 0.1, POOLED),
    "mean_accuracy_iobb_t50": Rule("iobb", 0.5, POOLED),
    "mean_accuracy_iou_t10": Rule("iou", 0.1, POOLED),
}
"""What stands in the JSON, whatever limits the tables are asked for."""


class Scores(NamedTuple):
    """What becomes of a network's heatmaps."""

    overlaps: pd.DataFrame  # its detected boxes with ``iobb`` and ``iou``
    tables: dict[str, pd.DataFrame]  # metrics/localize/B/<name>.csv
    headline: dict[str, Any]  # metrics/localize/B.json


def score(maps: Maps, limits: Limits) -> Scores:
    """Hold heatmaps against the drawn boxes, the controls' beside the network's.

    Args:
        maps: of the boxed pairs.
        limits: of the tables.
    """
    cases, asked, heats = maps.cases, rules(limits), limits.heat_thresholds
    fine = cases.overlaps(maps.own, sorted({*heats, *GRID}))
    own = fine[fine["heat_threshold"].isin(heats)].reset_index(drop=True)
    _, *controls = maps.grids.items()
    others = {name: cases.overlaps(made, heats) for name, made in controls}
    accuracy, beside = accuracy_and_controls(cases, {maps.method: own} | others, asked)
    tables = {
        "accuracy": accuracy,
        "controls": beside,
        "pointing": pointing_table(cases, maps.grids),
        "crossfit": crossfit_table(cases, fine, asked),
        "randomisation": randomisation_table(cases, maps.similarity),
    }
    rounded = {"scale": maps.scale} | {
        name: table.round(METRIC_DIGITS) for name, table in tables.items()
    }
    return Scores(own, rounded, headline(cases, fine, own, tables))


def headline(
    cases: Cases, fine: pd.DataFrame, own: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """Sum up for metrics/localize/B.json: means over findings, NaN where there is none.

    Args:
        cases: the boxed pairs.
        fine: the network's detections at every threshold of crossfit.GRID, with overlaps.
        own: the same at the heat thresholds of the tables.
        tables: pointing (the network's method first) and randomisation, as :func:`score` has them.
    """
    hits, _ = hits_and_false_boxes(cases.pairs, own, list(HEADLINE.values()))
    fitted = crossfit_table(cases, fine, [HEADLINE["mean_accuracy_iobb_t10"]]).iloc[-1]
    seen = int(cases.pairs["image"].nunique())
    spot = tables["pointing"].iloc[len(cases.findings)]  # the first method's mean
    return {
        "boxed_images": seen,
        "boxed_images_without_pixels": int(cases.drawn["image"].nunique()) - seen,
        "boxed_pairs": len(cases.pairs),
        "findings_scored": int(cases.pairs["finding"].nunique()),
        **_means(list(HEADLINE), cases.means(hits)),
        **{
            f"mean_{name}{end}": spot[name + end] for name in ("pointing", "energy") for end in ENDS
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
