"""Cross-fitted heat threshold: chosen on half of the boxed patients, scored on the other half.

One halving would add its own chance to the score, so scores are averaged over many halvings.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.means import by_finding
from cxr14.localization.overlap import Rule, hits_and_false_boxes
from cxr14.localization.scores import BoxedPairs
from cxr14.metrics.auroc import Floats

GRID: Final = tuple(range(30, 241, 30))  # heat thresholds to choose from; 60 and 180 are among them
NO_OTHER_HALF = "all boxed images are of one patient: no other half to choose a threshold"


class CrossFit(NamedTuple):
    """Scores of each pair at thresholds that were chosen on halves without its patient."""

    hits: Floats  # (P, K) share of the halvings that hit; NaN without another half
    false_boxes: Floats  # (P, K) boxes that are no hit, mean over the halvings
    chosen: npt.NDArray[np.int64]  # (2·H, K) thresholds: on the first halves, then on the second


def crossfit(
    boxed: BoxedPairs, overlaps: pd.DataFrame, measures: Sequence[tuple[str, float]]
) -> CrossFit:
    """Choose a heat threshold on each half and score it on the other, for every halving.

    The threshold of :data:`GRID` with the highest mean accuracy over findings is chosen; of ties
    the one with the fewest false boxes, then the lowest.

    Args:
        boxed: the boxed pairs and H halvings.
        overlaps: their detections at every threshold of GRID, with overlaps.
        measures: K pairs of a measure (iobb or iou) and T; each has its own choice.
    """
    second = boxed.second_halves
    choosing = np.concatenate([~second, second])  # (2·H, P)
    hits, false_boxes = np.full((2, len(boxed.pairs), len(measures)), np.nan)
    chosen = np.zeros((len(choosing), len(measures)), np.int64)
    if not choosing.any(axis=1).all():
        return CrossFit(hits, false_boxes, chosen[:0])
    pair = np.arange(len(boxed.pairs))
    for column, (measure, threshold) in enumerate(measures):
        criteria = [Rule(measure, threshold, heat) for heat in GRID]
        hit_at, false_at = hits_and_false_boxes(boxed.pairs, overlaps, criteria)  # (P, thresholds)
        best = _best_thresholds(boxed, hit_at, false_at, choosing)  # (2·H,) indices in GRID
        on_first, on_second = np.split(best[:, None], 2)
        index = np.where(second, on_first, on_second)  # (H, P), of the half without the pair
        hits[:, column] = hit_at[pair, index].mean(axis=0)
        false_boxes[:, column] = false_at[pair, index].mean(axis=0)
        chosen[:, column] = np.array(GRID)[best]
    return CrossFit(hits, false_boxes, chosen)


def _best_thresholds(
    boxed: BoxedPairs,
    hits: npt.NDArray[np.bool_],
    false_boxes: npt.NDArray[np.int64],
    choosing: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Choose a threshold on each of N halves (N, P), none of them empty: indices in GRID (N,)."""
    findings, weights = sorted(set(boxed.finding_of_pair)), choosing.astype(np.int64)
    accuracy, afp = (
        np.nanmean(by_finding(values, boxed.finding_of_pair, findings, weights)[:, :-1], axis=1)
        for values in (hits, false_boxes)
    )  # (N, thresholds): means over the findings of the half
    thresholds = np.broadcast_to(GRID, afp.shape)
    return np.asarray(np.lexsort((thresholds, afp, -accuracy), axis=-1)[:, 0])


def crossfit_table(
    boxed: BoxedPairs, overlaps: pd.DataFrame, criteria: Sequence[Rule]
) -> pd.DataFrame:
    """Score at heat thresholds chosen on halves of the patients without the pair's own.

    Args:
        boxed: the boxed pairs.
        overlaps: detections at every threshold of GRID, with their overlaps.
        criteria: rules; their heat thresholds are ignored.

    Returns:
        measure, overlap_threshold, chosen_threshold (the most frequent one), chosen_share (of the
        halves that chose it), finding, n_pairs, accuracy, afp.
    """
    measures = list(dict.fromkeys((rule.measure, rule.overlap_threshold) for rule in criteria))
    fitted = crossfit(boxed, overlaps, measures)
    keys = [
        {"measure": measure, "overlap_threshold": threshold} | _most_frequent(chosen)
        for (measure, threshold), chosen in zip(measures, fitted.chosen.T, strict=True)
    ]
    measured = {
        "accuracy": boxed.means(fitted.hits),
        "afp": boxed.means(fitted.false_boxes, share=False),
    }
    table = boxed.tidy(keys, measured)
    unchosen = table["accuracy"].isna() & (table["n_pairs"] > 0).fillna(False)
    return table.assign(reason=table["reason"].mask(unchosen, NO_OTHER_HALF))


def _most_frequent(chosen: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return the threshold that most halves chose (of ties the lowest), and their share."""
    thresholds, counts = np.unique(chosen, return_counts=True)
    if not len(chosen):
        return {"chosen_threshold": np.nan, "chosen_share": np.nan}
    best = counts.argmax()
    return {
        "chosen_threshold": float(thresholds[best]),
        "chosen_share": float(counts[best] / len(chosen)),
    }
