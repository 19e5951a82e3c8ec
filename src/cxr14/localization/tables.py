"""Tables of metrics/localize/B/, and the headline of metrics/localize/B.json.

Each table is tidy: key columns, finding (the last is ``mean``), n_pairs, scores with their 95 %
interval, reason. Empty cells are null.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from cxr14.io import METRIC_DIGITS
from cxr14.localization.crossfit import GRID, crossfit_table
from cxr14.localization.overlap import (
    MEAN,
    POOLED,
    Rule,
    Thresholds,
    hits_and_false_boxes,
    rules,
)
from cxr14.localization.pointing import MEASURES, join_methods, pixel_table, pointing_table
from cxr14.localization.sanity_check import sanity_check_table
from cxr14.localization.scores import BoxedPairs, Maps, MaskedPairs
from cxr14.metrics.bootstrap import ENDS


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
    (network_hits, _), *_ = scores.values()
    tables: list[pd.DataFrame] = []
    for method, (hits, false_boxes) in scores.items():
        measured = {
            "accuracy": boxed.means(hits),
            "afp": boxed.means(false_boxes, share=False),
        }
        if tables:
            measured["difference"] = boxed.differences(network_hits, hits)
        tables.append(boxed.tidy([{"method": method} | key for key in keys], measured))
    return tables[0].drop(columns="method"), join_methods(tables)


HEADLINE: Final = {
    "mean_accuracy_iobb_t10": Rule("iobb", 0.1, POOLED),
    "mean_accuracy_iobb_t50": Rule("iobb", 0.5, POOLED),
    "mean_accuracy_iou_t10": Rule("iou", 0.1, POOLED),
}
"""Rules of metrics/localize/B.json, independent of the thresholds of the tables: boxes pooled."""


class Scores(NamedTuple):
    """Detected boxes, tables and headline of a network."""

    overlaps: pd.DataFrame  # its detected boxes with ``iobb`` and ``iou``
    tables: dict[str, pd.DataFrame]  # metrics/localize/B/<name>.csv
    headline: dict[str, Any]  # metrics/localize/B.json


def score(maps: Maps, thresholds: Thresholds) -> Scores:
    """Score heatmaps and control baselines against the ground-truth boxes and masks.

    Args:
        maps: of the boxed and the masked pairs.
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
        "pixels": pixel_table(maps.pixels, heats),
        "crossfit": crossfit_table(boxed, all_detections, criteria),
        "sanity_check": sanity_check_table(boxed, maps.similarity),
    }
    _, at_headline = accuracy_and_controls(boxed, overlaps, list(HEADLINE.values()))
    fitted = crossfit_table(boxed, all_detections, [HEADLINE["mean_accuracy_iobb_t10"]])
    means = headline_means(at_headline, fitted, tables)
    rounded = {name: table.round(METRIC_DIGITS) for name, table in tables.items()}
    numbers = _counts(boxed, maps.pixels.masked) | dict(
        zip(means["metric"], means["value"], strict=True)
    )
    numbers |= controls_beaten(at_headline, tables["pointing"])
    numbers["sanity_check_similarity"] = tables["sanity_check"]["similarity"].iloc[-1]
    rounded |= {"scale": maps.scale, "headline": means.round(METRIC_DIGITS)}
    return Scores(detections, rounded, numbers)


def headline_means(
    at_headline: pd.DataFrame, fitted: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Collect the network's means over findings, with the ends of their intervals.

    Args:
        at_headline: controls.csv at the rules of :data:`HEADLINE`.
        fitted: crossfit.csv at the first of them.
        tables: pointing and pixels.

    Returns:
        headline.csv: metric, value, low, high; NaN where missing.
    """
    boxes = _network_means(at_headline).to_dict("records")
    cells = {name: (row, "accuracy") for name, row in zip(HEADLINE, boxes, strict=True)}
    cells["mean_false_boxes_iobb_t10"] = (boxes[0], "afp")
    (crossfitted,) = _network_means(fitted).to_dict("records")
    cells["crossfit_mean_accuracy_iobb_t10"] = (crossfitted, "accuracy")
    cells["crossfit_mean_false_boxes_iobb_t10"] = (crossfitted, "afp")
    (pointed,) = _network_means(tables["pointing"]).to_dict("records")
    cells |= {f"mean_{name}": (pointed, name) for name in MEASURES}
    for row in _network_means(tables["pixels"]).to_dict("records"):
        heat = "" if pd.isna(row["heat_threshold"]) else f"_heat_{row['heat_threshold']}"
        cells[f"mask_mean_{row['measure']}{heat}"] = (row, "value")
    rows = [
        (name, *(row[f"{column}{end}"] for end in ENDS)) for name, (row, column) in cells.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def _network_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the mean over findings, of the first method."""
    means = table[table["finding"] == MEAN]
    return means[means["method"] == means["method"].iloc[0]] if "method" in means else means


def controls_beaten(at_headline: pd.DataFrame, pointing: pd.DataFrame) -> dict[str, int]:
    """Count the controls that the network beats: the interval of the difference is above 0.

    Args:
        at_headline: controls.csv at the rules of :data:`HEADLINE`; the first is IoBB > .1.
        pointing: pointing.csv.
    """
    low = {"iobb_t10": "difference_low", "pointing": "pointing_difference_low"}
    first = HEADLINE["mean_accuracy_iobb_t10"]
    at_first = at_headline["measure"].eq(first.measure)
    at_first &= at_headline["overlap_threshold"].eq(first.overlap_threshold)
    tables = {"iobb_t10": at_headline[at_first], "pointing": pointing}
    return {
        f"controls_beaten_{name}": int((table.loc[table["finding"] == MEAN, low[name]] > 0).sum())
        for name, table in tables.items()
        if low[name] in table
    }


def _counts(boxed: BoxedPairs, masked: MaskedPairs) -> dict[str, int]:
    """Return the numbers of images, pairs and findings with boxes, and of pairs with masks."""
    n_images = int(boxed.pairs["image"].nunique())
    return {
        "boxed_images": n_images,
        "boxed_images_without_pixels": int(boxed.ground_truth["image"].nunique()) - n_images,
        "boxed_pairs": len(boxed.pairs),
        "findings_scored": int(boxed.pairs["finding"].nunique()),
        "masked_pairs": len(masked.pairs),
    }
