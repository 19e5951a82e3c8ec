"""Ensembles: mean probabilities, and selection of members on validation.

Selection maximizes the mean over the findings of AUROC (or of the highest F1) of the average
probability on validation. Every fold of train must be left out by a selected member. With few
members every subset is scored; ties go to the smaller subset, then to the one listed first. With
more members, the search is greedy: it adds the best member until all folds are covered and the
score no longer increases.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cxr14.chexnext.paths import (
    LABELS,
    SELECTION,
    NetworkPaths,
    align_to_cache,
    read_classes,
    read_logits,
)
from cxr14.datasets.records import Source, read_records, read_split
from cxr14.errors import UserError, quote
from cxr14.evaluation.predictions import Logits
from cxr14.io import read_json, unusable
from cxr14.labels import NO_FINDING, label_matrix
from cxr14.metrics.auroc import Array, Floats, macro_auroc, mean_over_scored, scorable
from cxr14.metrics.calibration import f1_by_threshold


def mean_probability(logits: Sequence[Logits]) -> Floats:
    """Mean probability of K networks: K arrays (N, C) of logits to float64 (N, C)."""
    mean: Floats = np.mean([expit(member.astype(np.float64)) for member in logits], axis=0)
    return mean


def spread(logits: Sequence[Logits]) -> npt.NDArray[np.float32]:
    """Return the standard deviation of the probabilities of K networks (ddof 0), float32 (N, C).

    The disagreement of a deep ensemble (Lakshminarayanan et al. 2017): 0 where all agree,
    at most 0.5.
    """
    return np.asarray(
        np.std([expit(member.astype(np.float64)) for member in logits], axis=0), np.float32
    )


Subset = tuple[int, ...]
Score = Callable[[Subset], float]


def score_by(measure: str, labels: Array, probabilities: Floats, classes: Sequence[str]) -> Score:
    """Return the function that scores a subset of M members on N validation images.

    Args:
        measure: auroc or f1.
        labels: (N, C) of 0 and 1.
        probabilities: (M, N, C).
        classes: C names; the mean excludes No Finding.

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


def select_members(
    members: Sequence[NetworkPaths],
    fold_of: Sequence[int],
    folds: int,
    measure: str,
    exhaustive_up_to: int,
    source: Source,
) -> dict[str, Any]:
    """Select the members whose average is best on validation.

    Args:
        members: M networks.
        fold_of: (M,) the fold that each leaves out.
        folds: number of folds.
        measure: auroc or f1.
        exhaustive_up_to: see :func:`choose`.
        source: of the images.

    Returns:
        The content of chexnext/selection/selection.json: measure, search, subsets (number scored),
        folds, score, score_of_all, phantom, and by member its fold, its score alone, and whether it
        is chosen.
    """
    classes = read_classes(members[0])
    cached = align_to_cache("data/cache", read_records(LABELS), read_split())
    val, n_images = cached.within("val"), len(cached.rows)
    logits = [read_logits(member.logits, n_images, classes)[val] for member in members]
    probabilities = np.stack([expit(array.astype(np.float64)) for array in logits])
    score = score_by(measure, label_matrix(cached.images[val], classes), probabilities, classes)
    chosen, best, subsets, search = choose(score, fold_of, exhaustive_up_to)
    by_member = {
        member.name: {"fold": fold_of[n], "score": score((n,)), "chosen": n in chosen}
        for n, member in enumerate(members)
    }
    scores = {"score": best, "score_of_all": score(tuple(range(len(members))))}
    head = {"measure": measure, "search": search, "subsets": subsets, "folds": folds}
    return head | scores | {"phantom": source.phantom, "members": by_member}


def selection_metrics(selection: dict[str, Any]) -> dict[str, Any]:
    """Return the content of chexnext/metrics/select.json, see :func:`select_members`."""
    members = selection["members"].values()
    return {
        "members": len(members),
        "chosen": sum(member["chosen"] for member in members),
        "subsets": selection["subsets"],
        "score": selection["score"],
        "score_of_all": selection["score_of_all"],
        "score_of_best_single": max(member["score"] for member in members),
    }


def choose(
    score: Score, fold_of: Sequence[int], exhaustive_up_to: int
) -> tuple[Subset, float, int, str]:
    """Choose the best subset of the members.

    Args:
        score: of a subset, higher is better.
        fold_of: the fold that each member leaves out; the subset must cover all of them.
        exhaustive_up_to: number of members up to which every subset is scored.

    Returns:
        The indices of the chosen members, their score, the number of subsets scored, and the
        search: `exhaustive` or `greedy`.
    """
    if len(fold_of) <= exhaustive_up_to:
        tried = [subset for subset in _subsets(len(fold_of)) if _covers(subset, fold_of)]
        scores = [score(subset) for subset in tried]
        best = int(np.argmax(scores))  # the first of equals; smaller subsets are listed first
        return tried[best], scores[best], len(tried), "exhaustive"
    return (*_grow(score, fold_of), "greedy")


def _subsets(count: int) -> list[Subset]:
    return [subset for size in range(1, count + 1) for subset in combinations(range(count), size)]


def _covers(subset: Subset, fold_of: Sequence[int]) -> bool:
    return {fold_of[index] for index in subset} == set(fold_of)


def _grow(score: Score, fold_of: Sequence[int]) -> tuple[Subset, float, int]:
    """Add one member at a time, first those that cover another fold."""
    chosen: Subset = ()
    best, tried = -np.inf, 0
    while len(chosen) < len(fold_of):
        covered = {fold_of[index] for index in chosen}
        complete = covered == set(fold_of)
        free = [n for n in range(len(fold_of)) if n not in chosen]
        free = free if complete else [n for n in free if fold_of[n] not in covered]
        options = [tuple(sorted((*chosen, n))) for n in free]
        scores = [score(option) for option in options]
        tried += len(options)
        top = int(np.argmax(scores))
        if complete and scores[top] <= best:
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
        isinstance(entry, dict) and isinstance(entry.get("chosen"), bool)
        for entry in members.values()
    ):
        raise unusable(path, f"is damaged: members are {quote(members)}")
    return [name for name, entry in members.items() if entry["chosen"]]
