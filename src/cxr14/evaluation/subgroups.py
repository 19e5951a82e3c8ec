"""Scores by group of patients, and the gap between a group and everyone else.

A gap is the group minus the rest, on the same resamples. The largest minus the smallest group
would be positive by construction, and the more so the smaller the groups: its interval never holds
0. Group minus rest is 0 on average where groups do not differ, and says which way it goes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.evaluation.measures import (
    CALIBRATION,
    ECE,
    MACRO,
    MEASURES,
    Answers,
    Scores,
    calibration_errors,
    difference,
    mean_over,
    named,
    score_group,
    why_null,
    without_interval,
)
from cxr14.labels import NO_FINDING, label_matrix
from cxr14.metrics.auroc import Array, Floats
from cxr14.metrics.bootstrap import ENDS, Replicates, bias_corrected

# Groups of images by what the records say of the patient and the film.
#
# Age bands of twenty years, as Seyyed-Kalantari et al. 2021 ("Underdiagnosis bias of artificial
# intelligence algorithms applied to chest radiographs in under-served patient populations", Nature
# Medicine 27:2176–2182) take them. Attributes are crossed in pairs; three at once would leave
# groups of a few patients.


BANDS: Final = ((0, 20), (20, 40), (40, 60), (60, 80), (80, None))
"""First year and the first year after; the last band is open."""

ATTRIBUTES: Final = ("sex", "age", "view")
ALL: Final = "all"
CROSSED: Final = " × "
UNKNOWN: Final = "unknown"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Images that have something in common.

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
        """Whether it is of two attributes at once."""
        return CROSSED in self.attribute


def values_of(records: pd.DataFrame) -> dict[str, "pd.Series[str]"]:
    """Return the three attributes of N images in words; what is not known is ``unknown``."""
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
    """Form all groups of N images: everyone, each attribute, pairs of attributes.

    Values are in order of the alphabet (age: of years). A value that no image has makes no group;
    images whose value is not known make one that has no rest, and are in no crossing.
    """
    everyone = np.ones(len(records), bool)
    found = [Group(ALL, ALL, everyone, ~everyone)]
    values = values_of(records)
    for size in (1, 2):
        for names in combinations(ATTRIBUTES, size):
            found += _groups(names, values)
    return found


def _groups(names: tuple[str, ...], values: dict[str, "pd.Series[str]"]) -> list[Group]:
    own = [values[name].to_numpy(str) for name in names]
    known = np.all([value != UNKNOWN for value in own], axis=0)
    cells = set(zip(*(value[known].tolist() for value in own), strict=True))
    made = []
    for cell in sorted(cells, key=_order):
        members = np.all([value == one for value, one in zip(own, cell, strict=True)], axis=0)
        made.append(Group(CROSSED.join(names), CROSSED.join(cell), members, known & ~members))
    if len(names) == 1 and not known.all():
        made.append(Group(names[0], UNKNOWN, ~known, np.zeros_like(known)))
    return made


def _order(cell: tuple[str, ...]) -> list[tuple[int, str]]:
    """Bands by their first year, words by the alphabet."""
    starts = {band_name(*band): band[0] for band in BANDS}
    return [(starts.get(value, -1), value) for value in cell]


REST: Final = "the rest"

COUNTS: Final = ("images", "patients", "patients_with", "patients_without")
"""Of a group; the patients with positives and with negatives of a class decide what is scored."""

GAP_COLUMNS: Final = [
    *("backbone", "attribute", "group", "against", "finding"),
    *(*COUNTS, *(f"{name}_against" for name in COUNTS), "findings"),
    *(f"{measure}{end}" for measure in MEASURES for end in ENDS),
    "reason",
]

Row = dict[str, Any]


def subgroup_tables(
    records: pd.DataFrame, answers: Mapping[str, Answers], resamples: Replicates
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every network on every group.

    Args:
        records: of the N test images, in the order of the answers.
        answers: by backbone.
        resamples: of their patients.

    Returns:
        The tables of subgroups and of gaps. In both a row per backbone, group, and ``macro`` (mean
        over the findings that can be scored there), No Finding, and, unless two attributes are
        crossed, each finding.
    """
    groups = groups_of(records)
    scored: list[Row] = []
    gaps: list[Row] = []
    for backbone, own in answers.items():
        labels = label_matrix(records, own.classes)
        for group in groups:
            key = {"backbone": backbone, "attribute": group.attribute, "group": group.name}
            members = score_group(own, labels, group.members, resamples)
            errors = calibration_errors(own, labels, group.members, resamples)
            scored += [key | row for row in _score_rows(own, members, errors, group.crossed)]
            against = opponent(group, groups)
            if against:
                rest = score_group(own, labels, group.rest, resamples)
                rows = _gap_rows(own, members, rest, group.crossed)
                gaps += [key | {"against": against} | row for row in rows]
    return pd.DataFrame(scored), pd.DataFrame(gaps, columns=GAP_COLUMNS)


def opponent(group: Group, groups: list[Group]) -> str | None:
    """Name what a group is held against; None if there is no rest, or the gap is there already.

    Of two groups the second minus the first is the first minus the second, with the other sign.
    """
    if not group.rest.any():
        return None
    same = (other for other in groups if other.attribute == group.attribute)
    names = [other.name for other in same if other.rest.any()]
    if len(names) > 2:
        return REST
    return names[1] if group.name == names[0] else None


def _rows_of(classes: tuple[str, ...], crossed: bool) -> list[tuple[str, list[int]]]:
    """Name the rows, and the columns of the classes that each is a mean over."""
    findings = [i for i, name in enumerate(classes) if name != NO_FINDING]
    single = [(name, [i]) for i, name in enumerate(classes) if name == NO_FINDING or not crossed]
    return [(MACRO, findings), *single]


def _score_rows(answers: Answers, scores: Scores, errors: Floats, crossed: bool) -> Iterator[Row]:
    for name, columns in _rows_of(answers.classes, crossed):
        rankable = scores.rankable()
        kept = _kept(name, columns, rankable)
        means = {
            measure: mean_over(scores.values[measure][:, _over(measure, name, columns, rankable)])
            for measure in MEASURES
        }
        ece = mean_over(errors[:, kept])
        few = why_null(answers, scores, columns[0]) if name != MACRO else None
        left = _left_out(answers, columns, kept) if name == MACRO else None
        yield {
            "finding": name,
            **_counts(name, columns, scores),
            "positives": None if name == MACRO else int(scores.positives[columns[0]]),
            "findings": len(kept) if name == MACRO else None,
            **named(means),
            **named({ECE: np.append(ece[:1], bias_corrected(ece))}),
            "reason": _joined(left, few),
        }


def _gap_rows(answers: Answers, own: Scores, rest: Scores, crossed: bool) -> Iterator[Row]:
    for name, columns in _rows_of(answers.classes, crossed):
        rankable = own.rankable() & rest.rankable()
        kept = _kept(name, columns, rankable)
        gaps = {m: _gap(own, rest, m, _over(m, name, columns, rankable)) for m in MEASURES}
        few = {
            side: why_null(answers, one, columns[0]) if name != MACRO else None
            for side, one in (("group", own), ("against", rest))
        }
        told = [f"{side}: {why}" for side, why in few.items() if why]
        left = _left_out(answers, columns, kept) if name == MACRO else None
        yield {
            "finding": name,
            **_counts(name, columns, own),
            **_counts(name, columns, rest, "_against"),
            "findings": len(kept) if name == MACRO else None,
            **named(gaps),
            "reason": _joined(left, *told, without_interval(gaps)),
        }


def _counts(name: str, columns: list[int], scores: Scores, end: str = "") -> Row:
    """Return the COUNTS of a group; those of a class where the row is of one."""
    sides = (scores.patients_with, scores.patients_without)
    own = [None if name == MACRO else int(side[columns[0]]) for side in sides]
    values = (scores.images, scores.patients, *own)
    return {f"{key}{end}": value for key, value in zip(COUNTS, values, strict=True)}


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None


def _kept(name: str, columns: list[int], rankable: Array) -> list[int]:
    """Columns that a row is over: a macro mean only those that every measure can score."""
    return [i for i in columns if rankable[i]] if name == MACRO else columns


def _over(measure: str, name: str, columns: list[int], rankable: Array) -> list[int]:
    """Columns that a row's measure is over; those of :func:`_kept`, but for calibration.

    Its macro mean is over every finding. Which can be ranked depends on how many positives a group
    happens to have, and over those alone its prevalence would be too high: of gaps of such means a
    third left out 0 where there was none. A single class needs its positives and negatives: without
    any its prevalence is 0 or 1 in every resample, as sure as it is not.
    """
    if measure != CALIBRATION:
        return _kept(name, columns, rankable)
    return columns if name == MACRO else [i for i in columns if rankable[i]]


def _left_out(answers: Answers, columns: list[int], kept: list[int]) -> str | None:
    """Say which findings a macro mean is not over, and which count in that of AUROC alone."""
    scarce = [answers.classes[i] for i in columns if i not in kept]
    undecided = [answers.classes[i] for i in kept if answers.classes[i] in answers.reasons]
    which = ", ".join(scarce) if kept else "every finding"
    return _joined(
        f"too few patients with or without it: {which}" if scarce else None,
        f"in AUROC alone, as they have no threshold: {', '.join(undecided)}" if undecided else None,
    )


def _gap(own: Scores, rest: Scores, measure: str, columns: list[int]) -> Floats:
    """Difference of the means over the same classes, see :func:`difference`."""
    one, other = (mean_over(side.values[measure][:, columns]) for side in (own, rest))
    return difference(one, other)
