"""The best heat threshold, chosen on half of the boxed patients and scored on the other half.

Wang's 60 and 180 suit their maps. How far would a threshold chosen for these go? Chosen and
scored on the same boxes it would flatter itself, so each half is scored at the choice of the
other: cross-fitted. The rule: of :data:`GRID`, the threshold with the highest mean accuracy over
findings; if several, the one with the fewest false boxes; if still several, the lowest. It is
chosen anew for each measure and each T.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.cases import Cases
from cxr14.localization.means import plain_means
from cxr14.localization.scoring import Rule, hits_and_false_boxes
from cxr14.ranking import Floats

GRID: Final = tuple(range(30, 241, 30))  # 60 and 180 are among them


class CrossFit(NamedTuple):
    """Scores of each pair at the threshold that the other half of the patients chose."""

    hits: Floats  # (P, K) of 0 and 1; NaN if the other half is empty
    wrong: Floats  # (P, K) boxes that are no hit
    chosen: list[tuple[int | None, ...]]  # K: on the first half, on the second


def crossfit(cases: Cases, overlaps: pd.DataFrame, limits: Sequence[tuple[str, float]]) -> CrossFit:
    """Choose on each half, score on the other.

    Args:
        cases: the boxed pairs and the halves.
        overlaps: their detections at every threshold of :data:`GRID`, with overlaps.
        limits: K pairs of a measure (iobb or iou) and T.
    """
    first, second = ~cases.second_half, cases.second_half
    hits, wrong = np.full((2, len(cases.pairs), len(limits)), np.nan)
    chosen = []
    for column, (measure, limit) in enumerate(limits):
        asked = [Rule(measure, limit, heat) for heat in GRID]
        hit, false = hits_and_false_boxes(cases.pairs, overlaps, asked)  # (P, thresholds)
        best = [_best(cases, hit, false, half) for half in (first, second)]
        for place, other in zip(best, (second, first), strict=True):
            if place is not None:
                hits[other, column], wrong[other, column] = hit[other, place], false[other, place]
        chosen.append(tuple(None if place is None else GRID[place] for place in best))
    return CrossFit(hits, wrong, chosen)


def _best(
    cases: Cases,
    hit: npt.NDArray[np.bool_],
    false: npt.NDArray[np.int64],
    half: npt.NDArray[np.bool_],
) -> int | None:
    """Place in GRID of the threshold that the rule chooses on a half; None if that is empty."""
    if not half.any():
        return None
    accuracy, afp = (
        plain_means(values[half], cases.finding_of_pair[half], cases.findings)[-1]
        for values in (hit, false)
    )
    return int(np.lexsort((np.array(GRID), afp, -accuracy))[0])
