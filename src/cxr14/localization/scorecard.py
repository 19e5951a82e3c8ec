"""All that localisation reports of a network: tables, and the few numbers at their top."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from cxr14.evaluation.bootstrap import ENDS
from cxr14.files import METRIC_DIGITS
from cxr14.localization.cases import Cases
from cxr14.localization.crossfit import GRID
from cxr14.localization.maps import Maps
from cxr14.localization.means import Means
from cxr14.localization.scoring import POOLED, Limits, Rule, hits_and_false_boxes, rules
from cxr14.localization.tables import (
    accuracy_and_controls,
    crossfit_table,
    pointing_table,
    randomisation_table,
)

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
