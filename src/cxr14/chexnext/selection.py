"""Which members are averaged: the subset that is best on validation.

The rule: the highest mean over the findings of AUROC (or of F1 at each finding's threshold of
highest F1) of the average probability on validation; every fold of train must be left out by one
of the subset. Up to a number of members every subset is tried, and of equally good ones the smaller
is taken, then the one whose members are listed first. With more members one is added at a time, the
one that gains most, until every fold is covered and nothing more is gained.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr14.chexnext.averaging import Floats
from cxr14.chexnext.places import SELECTION
from cxr14.errors import UserError, quote
from cxr14.evaluation.thresholds import f1_by_threshold
from cxr14.files import read_json, unusable
from cxr14.findings import NO_FINDING
from cxr14.ranking import Array, macro_auroc, mean_over_scored, scorable

Subset = tuple[int, ...]
Score = Callable[[Subset], float]


def score_by(
    measure: str, labels: Array, probabilities: npt.NDArray[np.float64], classes: Sequence[str]
) -> Score:
    """Return the function that scores a subset of M members on N validation images.

    Args:
        measure: auroc or f1.
        labels: (N, C) of 0 and 1.
        probabilities: (M, N, C).
        classes: C names; No Finding stays out of the mean.

    Raises:
        UserError: no finding can be scored.
    """

    def score(subset: Subset) -> float:
        mean: Floats = probabilities[list(subset)].mean(axis=0)
        value = macro_auroc(labels, mean, classes)[0] if measure == "auroc" else _f1(mean)
        if value is None:
            raise UserError("validation has no finding with both positives and negatives")
        return value

    def _f1(mean: Floats) -> float | None:
        columns = zip(classes, labels.T, mean.T, strict=True)
        return mean_over_scored([best_f1(y, p) for name, y, p in columns if name != NO_FINDING])[0]

    return score


def best_f1(labels: Array, probabilities: Array) -> float | None:
    """Highest F1 of one finding over all thresholds; None without positives or negatives."""
    if not scorable(labels):
        return None
    _, f1 = f1_by_threshold(labels, probabilities)
    return float(f1.max())


def choose(
    score: Score, fold_of: Sequence[int], exhaustive_up_to: int
) -> tuple[Subset, float, int, str]:
    """Choose the best subset of the members.

    Args:
        score: of a subset, higher is better.
        fold_of: the fold that each member leaves out; all of them must stay covered.
        exhaustive_up_to: number of members up to which every subset is tried.

    Returns:
        The positions of the chosen members, their score, how many subsets were tried, and how:
        `exhaustive` or `greedy`.
    """
    if len(fold_of) <= exhaustive_up_to:
        tried = [subset for subset in _subsets(len(fold_of)) if _covers(subset, fold_of)]
        scores = [score(subset) for subset in tried]
        best = int(np.argmax(scores))  # the first of equals; smaller subsets stand first
        return tried[best], scores[best], len(tried), "exhaustive"
    return (*_grow(score, fold_of), "greedy")


def _subsets(count: int) -> list[Subset]:
    return [own for size in range(1, count + 1) for own in combinations(range(count), size)]


def _covers(subset: Subset, fold_of: Sequence[int]) -> bool:
    return {fold_of[place] for place in subset} == set(fold_of)


def _grow(score: Score, fold_of: Sequence[int]) -> tuple[Subset, float, int]:
    """Add one member at a time, while folds are uncovered one that covers another."""
    chosen: Subset = ()
    best, tried = -np.inf, 0
    while len(chosen) < len(fold_of):
        covered = {fold_of[place] for place in chosen}
        whole = covered == set(fold_of)
        free = [n for n in range(len(fold_of)) if n not in chosen]
        free = free if whole else [n for n in free if fold_of[n] not in covered]
        options = [tuple(sorted((*chosen, n))) for n in free]
        scores = [score(option) for option in options]
        tried += len(options)
        top = int(np.argmax(scores))
        if whole and scores[top] <= best:
            break
        chosen, best = options[top], scores[top]
    return chosen, float(best), tried


def read_chosen(path: Path = SELECTION) -> list[str]:
    """Read the names of the chosen members.

    Raises:
        UserError: the file is missing or damaged.
    """
    members = read_json(path, "members")["members"]
    if not isinstance(members, dict) or not all(
        isinstance(own, dict) and isinstance(own.get("chosen"), bool) for own in members.values()
    ):
        raise unusable(path, f"is damaged: members are {quote(members)}")
    return [name for name, own in members.items() if own["chosen"]]
