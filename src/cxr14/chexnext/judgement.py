"""Who relabels what, at which thresholds: the step from the members' answers to new labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from cxr14.chexnext.averaging import Floats, Logits, mean_probability
from cxr14.chexnext.folds import NO_FOLD, judges
from cxr14.chexnext.relabelling import Thresholds, called, thresholds_of
from cxr14.ranking import Array

LEAST = 1e-9


@dataclass(frozen=True)
class Judgement:
    """The average over the judges of each image, and the answers.

    Attributes:
        probabilities: float64 (N, C); NaN where nobody judges (test).
        present: (N, C) whether each class is called; the old labels where nobody judges.
        limits: float64 (N, C), the threshold that each was held against; NaN where there is none.
        margins: float64 (N, C), logit of the probability less that of its limit; NaN likewise.
        thresholds: by fold, then by finding; NO_FOLD is val.
    """

    probabilities: Floats
    present: npt.NDArray[np.bool_]
    limits: Floats
    margins: Floats
    thresholds: dict[int, Thresholds]


def judge(
    answers: Mapping[str, Logits],
    fold_of: Mapping[str, int],
    count: int,
    folds: npt.NDArray[np.int64],
    val: npt.NDArray[np.bool_],
    labels: Array,
    classes: Sequence[str],
) -> Judgement:
    """Let every image of train and val be judged by the members that may.

    Each group of judges has thresholds of its own, chosen on validation by the average of just
    these judges: the average of two networks is not scaled as that of more.

    Args:
        answers: logits (N, C) of the selected members, by name.
        fold_of: the fold that each leaves out.
        count: how many folds there are.
        folds: (N,) the fold of a train image; NO_FOLD for all others.
        val: (N,) which images are in val.
        labels: (N, C) as they were.
        classes: C names.
    """
    shape = np.shape(labels)
    probabilities, limits = np.full(shape, np.nan), np.full(shape, np.nan)
    present, thresholds = np.asarray(labels) > 0, {}
    for fold in [NO_FOLD, *range(count)]:
        judged = val if fold == NO_FOLD else folds == fold
        mean = mean_probability(
            [answers[name] for name in judges(list(answers), fold_of, fold, count)]
        )
        own = thresholds[fold] = thresholds_of(labels[val], mean[val], classes)
        probabilities[judged] = mean[judged]
        present[judged] = called(mean[judged], own, classes, labels[judged])
        limits[judged] = np.array([own.get(name) for name in classes], np.float64)  # None: NaN
    margins = _logit(probabilities) - _logit(limits)
    return Judgement(probabilities, present, limits, margins, thresholds)


def _logit(probabilities: Floats) -> Floats:
    """Return the logits of (N, C), of certainty, 0 or 1, that of nearly."""
    return np.asarray(logit(np.clip(probabilities, LEAST, 1 - LEAST)))
