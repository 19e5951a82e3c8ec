"""Scores by group of patients, and the gap between a group and all other patients.

A gap is the score of the group minus that of the rest, on the same replicates. The difference of
the largest and the smallest score would be biased: it is positive by construction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.evaluation.measures import CALIBRATION, MACRO, WITH, WITHOUT, Predictions
from cxr14.labels import NO_FINDING, label_matrix
from cxr14.metrics.auroc import Array, Counts, Floats, weighted_auroc
from cxr14.metrics.bootstrap import (
    ENDS,
    MIN_PATIENTS,
    Replicates,
    confusion_counts,
    enough_patients,
    patients_by_class,
    too_few_patients,
    weighted_sums,
)
from cxr14.metrics.intervals import difference, interval_columns, mean_over, without_interval

BANDS: Final = ((0, 20), (20, 40), (40, 60), (60, 80), (80, None))
"""First year of an age band and the first year after it; the last band is open.

Twenty years as in Seyyed-Kalantari et al. 2021, "Underdiagnosis bias of artificial intelligence
algorithms applied to chest radiographs in under-served patient populations", Nature Medicine
27:2176–2182. Attributes are crossed in pairs; with three, groups would be too small.
"""

ATTRIBUTES: Final = ("sex", "age", "view")
ALL: Final = "all"
CROSSED: Final = " × "
UNKNOWN: Final = "unknown"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Images with the same value of an attribute.

    Attributes:
        attribute: ``all``, ``sex``, ``age``, ``view``, or two of these crossed: ``sex × age``.
        name: its value, ``F``, ``20–39``, ``F × 20–39``.
        members: (N,).
        rest: (N,) the other images of which the attribute is known; none for ``unknown``.
    """

    attribute: str
    name: str
    members: Mask
    rest: Mask

    @property
    def crossed(self) -> bool:
        """Whether the group combines two attributes."""
        return CROSSED in self.attribute


def values_of(records: pd.DataFrame) -> dict[str, "pd.Series[str]"]:
    """Return the three attributes of N images as text; missing values are ``unknown``."""
    age = pd.Series(UNKNOWN, records.index)
    for first, after in BANDS:
        within = (records["age"] >= first) & (records["age"] < (after or np.inf))
        age = age.mask(within.fillna(False).astype(bool), band_name(first, after))
    plain = {name: records[name].fillna(UNKNOWN).replace("", UNKNOWN) for name in ("sex", "view")}
    return {"sex": plain["sex"].astype(str), "age": age, "view": plain["view"].astype(str)}


def band_name(first: int, after: int | None) -> str:
    """Name an age band as ``20–39``; the open one as ``80+``."""
    return f"{first}+" if after is None else f"{first}–{after - 1}"


def groups_of(records: pd.DataFrame) -> list[Group]:
    """Return all groups of N images: all images, each attribute, pairs of attributes.

    Values are sorted alphabetically, age bands by years. Empty groups are omitted. Images with an
    unknown value form a group without a rest, and are in no crossed group.
    """
    everyone = np.ones(len(records), bool)
    groups = [Group(ALL, ALL, everyone, ~everyone)]
    values = values_of(records)
    for size in (1, 2):
        for names in combinations(ATTRIBUTES, size):
            groups += _groups(names, values)
    return groups


def _groups(names: tuple[str, ...], values: dict[str, "pd.Series[str]"]) -> list[Group]:
    columns = [values[name].to_numpy(str) for name in names]
    known = np.all([value != UNKNOWN for value in columns], axis=0)
    cells = set(zip(*(value[known].tolist() for value in columns), strict=True))
    groups = []
    for cell in sorted(cells, key=_order):
        members = np.all(
            [value == level for value, level in zip(columns, cell, strict=True)], axis=0
        )
        groups.append(Group(CROSSED.join(names), CROSSED.join(cell), members, known & ~members))
    if len(names) == 1 and not known.all():
        groups.append(Group(names[0], UNKNOWN, ~known, np.zeros_like(known)))
    return groups


def _order(cell: tuple[str, ...]) -> list[tuple[int, str]]:
    """Sort key: age bands by their first year, words by the alphabet."""
    starts = {band_name(*band): band[0] for band in BANDS}
    return [(starts.get(value, -1), value) for value in cell]


GROUP_MEASURES: Final = ("auroc", "fpr", "fnr", CALIBRATION)
"""Without the ECE: chance increases it the more the smaller the group is."""


@dataclass(frozen=True)
class GroupScores:
    """Scores of one network on one group of images.

    Attributes:
        images: number of images.
        patients: number of patients.
        positives: (C,) images of each class.
        patients_with: (C,) patients of the positives of each class.
        patients_without: (C,) patients of the negatives; one with images of both kinds is in both.
        values: by measure, (1 + R, C): on all images, then by replicate; NaN where a measure has
            too few patients (calibration needs twice MIN_PATIENTS of any kind), no threshold or no
            scaling.
    """

    images: int
    patients: int
    positives: Counts
    patients_with: Counts
    patients_without: Counts
    values: Mapping[str, Floats]

    def rankable(self) -> Array:
        """Whether each class (C,) has enough patients for every measure."""
        enough = enough_patients(self.patients_with, self.patients_without)
        return enough & (self.patients >= 2 * MIN_PATIENTS)


def score_group(
    predictions: Predictions, labels: Array, members: Array, replicates: Replicates
) -> GroupScores:
    """Score a network on some of N images.

    Args:
        predictions: for all N images.
        labels: (N, C) of 0 and 1, in the order of the predictions' classes.
        members: (N,) bool, which images.
        replicates: of the patients of all N images.
    """
    group, labels, subset = predictions.rows(members), labels[members], replicates.of(members)
    patients_with = patients_by_class(labels > 0, subset.owner)
    patients_without = patients_by_class(labels == 0, subset.owner)
    patients = len(np.unique(subset.owner))
    values = {"auroc": np.full((subset.counts.shape[1], len(group.classes)), np.nan)}
    ranked = enough_patients(patients_with, patients_without)
    values["auroc"][:, ranked] = weighted_auroc(labels[:, ranked], group.logits[:, ranked], *subset)
    values |= _rates(group, labels, subset)
    half = np.full_like(patients_with, patients // 2)
    for name, below in (("fpr", patients_without), ("fnr", patients_with), (CALIBRATION, half)):
        values[name][:, ~enough_patients(below)] = np.nan
    return GroupScores(
        len(labels), patients, (labels > 0).sum(axis=0), patients_with, patients_without, values
    )


def _rates(predictions: Predictions, labels: Array, replicates: Replicates) -> dict[str, Floats]:
    """Return both error rates and mean predicted minus prevalence, (1 + R, C) each."""
    thresholds = predictions.thresholds
    counts = confusion_counts(labels, predictions.probabilities >= thresholds, *replicates)
    over = np.where(labels < 0, 0, predictions.calibrated - (labels > 0))
    excess = weighted_sums(over, *replicates)
    decided = np.where(np.isnan(thresholds), np.nan, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "fpr": decided * (counts.calls - counts.hits) / counts.negatives,
            "fnr": decided * (counts.positives - counts.hits) / counts.positives,
            CALIBRATION: excess / counts.images,
        }


def null_reason(predictions: Predictions, scores: GroupScores, column: int) -> str | None:
    """Return why some scores of a class are missing."""
    sides = {WITH: scores.patients_with[column], WITHOUT: scores.patients_without[column]}
    return _joined(
        too_few_patients({who: int(count) for who, count in sides.items()}),
        too_few_patients({"": scores.patients}, 2 * MIN_PATIENTS),
        predictions.reasons.get(predictions.classes[column]),
    )


REST: Final = "the rest"

COUNTS: Final = ("images", "patients", "patients_with", "patients_without")
"""Columns of a group; patients with positives and with negatives of a class."""

GAP_COLUMNS: Final = [
    *("backbone", "attribute", "group", "reference", "finding"),
    *(*COUNTS, *(f"{name}_reference" for name in COUNTS), "findings"),
    *(f"{measure}{end}" for measure in GROUP_MEASURES for end in ENDS),
    "reason",
]

Row = dict[str, Any]


def subgroup_tables(
    records: pd.DataFrame, predictions: Mapping[str, Predictions], replicates: Replicates
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every network on every group.

    Args:
        records: of the N test images, in the order of the predictions.
        predictions: by backbone.
        replicates: of their patients.

    Returns:
        The tables of subgroups and of gaps. In both a row per backbone, group, and ``macro`` (mean
        over the findings that can be scored there), No Finding, and, unless two attributes are
        crossed, each finding.
    """
    groups = groups_of(records)
    scored: list[Row] = []
    gaps: list[Row] = []
    for backbone, network in predictions.items():
        labels = label_matrix(records, network.classes)
        for group in groups:
            key = {"backbone": backbone, "attribute": group.attribute, "group": group.name}
            members = score_group(network, labels, group.members, replicates)
            scored += [key | row for row in _score_rows(network, members, group.crossed)]
            reference = reference_group(group, groups)
            if reference:
                rest = score_group(network, labels, group.rest, replicates)
                rows = _gap_rows(network, members, rest, group.crossed)
                gaps += [key | {"reference": reference} | row for row in rows]
    return pd.DataFrame(scored), pd.DataFrame(gaps, columns=GAP_COLUMNS)


def reference_group(group: Group, groups: list[Group]) -> str | None:
    """Return the name of the reference of a group, or None if there is no gap to report.

    Of two groups only the first has a gap, as that of the second is its negative.
    """
    if not group.rest.any():
        return None
    peers = (peer for peer in groups if peer.attribute == group.attribute)
    names = [peer.name for peer in peers if peer.rest.any()]
    if len(names) > 2:
        return REST
    return names[1] if group.name == names[0] else None


def _rows_of(classes: tuple[str, ...], crossed: bool) -> list[tuple[str, list[int]]]:
    """Return the names of the rows and the columns of the classes in each mean."""
    findings = [i for i, name in enumerate(classes) if name != NO_FINDING]
    single = [(name, [i]) for i, name in enumerate(classes) if name == NO_FINDING or not crossed]
    return [(MACRO, findings), *single]


def _score_rows(predictions: Predictions, scores: GroupScores, crossed: bool) -> Iterator[Row]:
    for name, columns in _rows_of(predictions.classes, crossed):
        rankable = scores.rankable()
        kept = _row_columns(name, columns, rankable)
        means = {
            measure: mean_over(
                scores.values[measure][:, _measure_columns(measure, name, columns, rankable)]
            )
            for measure in GROUP_MEASURES
        }
        few = null_reason(predictions, scores, columns[0]) if name != MACRO else None
        left = _exclusion_reason(predictions, columns, kept) if name == MACRO else None
        yield {
            "finding": name,
            **_counts(name, columns, scores),
            "positives": None if name == MACRO else int(scores.positives[columns[0]]),
            "findings": len(kept) if name == MACRO else None,
            **interval_columns(means),
            "reason": _joined(left, few),
        }


def _gap_rows(
    predictions: Predictions, group: GroupScores, rest: GroupScores, crossed: bool
) -> Iterator[Row]:
    for name, columns in _rows_of(predictions.classes, crossed):
        rankable = group.rankable() & rest.rankable()
        kept = _row_columns(name, columns, rankable)
        gaps = {
            measure: _gap(group, rest, measure, _measure_columns(measure, name, columns, rankable))
            for measure in GROUP_MEASURES
        }
        few = {
            side: null_reason(predictions, scores, columns[0]) if name != MACRO else None
            for side, scores in (("group", group), ("reference", rest))
        }
        reasons = [f"{side}: {why}" for side, why in few.items() if why]
        left = _exclusion_reason(predictions, columns, kept) if name == MACRO else None
        yield {
            "finding": name,
            **_counts(name, columns, group),
            **_counts(name, columns, rest, "_reference"),
            "findings": len(kept) if name == MACRO else None,
            **interval_columns(gaps),
            "reason": _joined(left, *reasons, without_interval(gaps)),
        }


def _counts(name: str, columns: list[int], scores: GroupScores, end: str = "") -> Row:
    """Return the COUNTS of a group, those by class for a row of a single class."""
    sides = (scores.patients_with, scores.patients_without)
    patients = [None if name == MACRO else int(side[columns[0]]) for side in sides]
    values = (scores.images, scores.patients, *patients)
    return {f"{key}{end}": value for key, value in zip(COUNTS, values, strict=True)}


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None


def _row_columns(name: str, columns: list[int], rankable: Array) -> list[int]:
    """Return the columns of a row; for a macro mean those that every measure can score."""
    return [i for i in columns if rankable[i]] if name == MACRO else columns


def _measure_columns(measure: str, name: str, columns: list[int], rankable: Array) -> list[int]:
    """Return the columns of a measure in a row: :func:`_row_columns`, except for calibration.

    The macro mean of calibration is over all findings. A mean over the scorable findings alone
    would be biased, as these are the findings with more positives in the group. A single class
    needs positives and negatives: otherwise its prevalence is 0 or 1 in every replicate.
    """
    if measure != CALIBRATION:
        return _row_columns(name, columns, rankable)
    return columns if name == MACRO else [i for i in columns if rankable[i]]


def _exclusion_reason(predictions: Predictions, columns: list[int], kept: list[int]) -> str | None:
    """Return which findings a macro mean excludes, and which it includes for AUROC only."""
    scarce = [predictions.classes[i] for i in columns if i not in kept]
    undecided = [
        predictions.classes[i] for i in kept if predictions.classes[i] in predictions.reasons
    ]
    which = ", ".join(scarce) if kept else "every finding"
    return _joined(
        f"too few patients with or without it: {which}" if scarce else None,
        f"in AUROC alone, as they have no threshold: {', '.join(undecided)}" if undecided else None,
    )


def _gap(group: GroupScores, rest: GroupScores, measure: str, columns: list[int]) -> Floats:
    """Difference of the means over the same classes, see :func:`difference`."""
    first, second = (mean_over(side.values[measure][:, columns]) for side in (group, rest))
    return difference(first, second)
