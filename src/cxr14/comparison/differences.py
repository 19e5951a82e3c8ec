"""Differences between networks on the same resamples of the same patients.

Two scores move together from resample to resample: patients that are hard for one network are hard
for the other. So the interval is of the difference, and is narrower than the two scores' own.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.comparison.answers import Answers
from cxr14.comparison.measures import summary
from cxr14.comparison.resampling import Resamples
from cxr14.data.labels import label_matrix
from cxr14.evaluation.weighted import rank
from cxr14.findings import without_no_finding
from cxr14.ranking import Floats, scorable

RANKED: Final = ("macro_auroc", "macro_average_precision")

DIFFERENCE: Final = ("difference", "low", "high", "left_out")

Row = dict[str, Any]


def difference_table(
    records: pd.DataFrame, answers: Mapping[str, Answers], resamples: Resamples
) -> pd.DataFrame:
    """Compare every pair of networks.

    Args:
        records: of the N test images, in the order of the answers.
        answers: by backbone.
        resamples: of their patients.

    Returns:
        A row per pair and measure: first, second, measure, difference (first − second), low, high,
        left_out (share of resamples that cannot score all findings; null where there are none, the
        images being of one patient), images, patients, findings (over which both means are).
    """
    findings = common_findings(list(answers.values()), records)
    means = {name: macro_values(own, records, findings, resamples) for name, own in answers.items()}
    rows = [
        {"first": one, "second": other, **row}
        for one, other in combinations(answers, 2)
        for row in difference_rows(means[one], means[other])
    ]
    columns = ["first", "second", "measure", *DIFFERENCE]
    return pd.DataFrame(rows, columns=columns).assign(
        images=len(records), patients=len(resamples.counts), findings=len(findings)
    )


def difference_rows(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> Iterator[Row]:
    """Yield the difference of each measure, (1 + R,) in both, with its interval."""
    for measure in RANKED:
        scores = summary(one[measure] - other[measure])
        yield {"measure": measure, **dict(zip(DIFFERENCE, scores, strict=True))}


def common_findings(answers: Sequence[Answers], records: pd.DataFrame) -> list[str]:
    """Return the findings that all networks know and that some images have and some have not."""
    shared = [name for name in answers[0].classes if all(name in own.classes for own in answers)]
    findings = without_no_finding(shared)
    labels = label_matrix(records, findings)
    return [name for name, own in zip(findings, labels.T, strict=True) if scorable(own)]


def macro_values(
    answers: Answers, records: pd.DataFrame, findings: Sequence[str], resamples: Resamples
) -> dict[str, Floats]:
    """Mean AUROC and mean average precision over findings, each (1 + R,).

    NaN in a resample that leaves one of the findings without positives or negatives.
    """
    if not findings:
        return dict.fromkeys(RANKED, np.full(resamples.counts.shape[1], np.nan))
    labels, logits = label_matrix(records, findings), answers.of(findings)
    rankings = [rank(own, scores) for own, scores in zip(labels.T, logits.T, strict=True)]
    blocks = [
        np.array([ranking.areas(weights) for ranking in rankings])  # (F, 2, w)
        for weights in resamples.by_image()
    ]
    means = np.concatenate(blocks, axis=2).mean(axis=0)  # (2, 1 + R)
    return dict(zip(RANKED, means, strict=True))
