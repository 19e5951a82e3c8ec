"""The boxed pairs with all that is the same for every heatmap held against their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.evaluation.bootstrap import ENDS, MOST_LEFT_OUT, RESAMPLES, patient_weights
from cxr14.localization.detect import Grids, detect, listed_findings
from cxr14.localization.means import MEAN, Means, means_by_finding
from cxr14.localization.scoring import with_overlaps
from cxr14.wording import NOT_TRAINED

NO_PIXELS = "no boxed image with pixels"
ONE_PATIENT = "no interval: all boxed images are of one patient"


@dataclass(frozen=True)
class Cases:
    """P pairs, and what their scores are averaged over. :func:`gather` makes it."""

    pairs: pd.DataFrame  # as detect.boxed_pairs lists them
    drawn: pd.DataFrame  # their boxes: data/records/boxes.parquet
    size: int  # side of the cached images in pixels
    scaling: str  # of heatmaps to 0–255
    findings: list[str]  # F to report, trained or not
    trained: tuple[str, ...]
    weights: npt.NDArray[np.int64]  # (R, P) resampled patients for every score; of one patient none
    second_half: npt.NDArray[np.bool_]  # (P,) halves of the patients

    @property
    def finding_of_pair(self) -> npt.NDArray[np.str_]:
        """Finding of each pair: (P,)."""
        return self.pairs["finding"].to_numpy(str)

    def overlaps(self, grids: Grids, heat_thresholds: Sequence[int]) -> pd.DataFrame:
        """Box the heatmaps (P, h, w) and add each box's overlap with the drawn ones."""
        found = detect(self.pairs, grids, self.size, heat_thresholds, self.scaling)
        return with_overlaps(found, self.drawn)

    def means(self, values: npt.NDArray[np.generic]) -> Means:
        """Average values (P, K) by finding, with intervals by patient."""
        return means_by_finding(values, self.finding_of_pair, self.findings, self.weights)

    def tidy(self, keys: Sequence[dict[str, Any]], measured: dict[str, Means]) -> pd.DataFrame:
        """Lay out K scores with a row for each key and finding; the last finding is the mean.

        Args:
            keys: K, what tells the scores apart, by column.
            measured: scores of K columns, by name.

        Returns:
            The keys' columns, finding, n (pairs; null for a finding that was not trained), each
            score with ``_low`` and ``_high``, and reason: why there is no score or interval.
        """
        about = pd.DataFrame(
            {"finding": [*self.findings, MEAN], "n": self.counts(), "reason": self._reasons()}
        )
        tables = []
        for column, key in enumerate(keys):
            scores = {
                name + end: numbers[:, column]
                for name, means in measured.items()
                for end, numbers in zip(ENDS, means, strict=True)
            }
            table = about.assign(**key, **scores)
            tables.append(table[[*key, "finding", "n", *scores, "reason"]])
        return pd.concat(tables, ignore_index=True)

    def counts(self, chosen: npt.NDArray[np.bool_] | None = None) -> pd.Series:
        """Count pairs, or the chosen of them (P,), by finding (null: not trained), then of all."""
        own = self.finding_of_pair if chosen is None else self.finding_of_pair[chosen]
        each = {name: int((own == name).sum()) for name in self.findings}
        known = [count if name in self.trained else None for name, count in each.items()]
        return pd.Series([*known, len(own)], dtype="Int64")

    def _reasons(self) -> list[str]:
        """Say for each finding, and for the mean, why there is no score or no interval."""
        reasons, lacking = [], np.zeros(len(self.weights), bool)
        for name in self.findings:
            own = self.finding_of_pair == name
            absent = (self.weights[:, own] == 0).all(axis=1)
            if own.any():
                lacking |= absent
                reasons.append(_no_interval(absent, "lack it"))
            else:
                reasons.append(NO_PIXELS if name in self.trained else NOT_TRAINED)
        return [*reasons, _no_interval(lacking, "lack a finding") if len(self.pairs) else NO_PIXELS]


def _no_interval(lacking: npt.NDArray[np.bool_], what: str) -> str:
    if not len(lacking):
        return ONE_PATIENT
    share = lacking.mean()
    return "" if share <= MOST_LEFT_OUT else f"no interval: {share:.1%} of resamples {what}"


def gather(
    pairs: pd.DataFrame,
    drawn: pd.DataFrame,
    size: int,
    scaling: str,
    trained: Sequence[str],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Cases:
    """Draw the resamples and the halves of the patients once, for every score.

    Args:
        pairs: as detect.boxed_pairs lists them.
        drawn: data/records/boxes.parquet.
        size: side of the cached images in pixels.
        scaling: how heat becomes 0–255, as detect.detect knows it.
        trained: the network's classes.
        generator: source of the draws.
        resamples: how many.
    """
    patients = pairs["patient"].to_numpy()
    weights = np.zeros((0, len(pairs)), np.int64)
    if len(np.unique(patients)) > 1:
        weights = patient_weights(patients, resamples, generator)
    findings, second_half = listed_findings(pairs), halves(patients, generator)
    return Cases(pairs, drawn, size, scaling, findings, tuple(trained), weights, second_half)


def halves(
    patients: npt.NDArray[np.generic], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Put the patients of P pairs into two halves at random; true (P,) for the second."""
    distinct = np.unique(patients)
    second = generator.permutation(distinct)[: len(distinct) // 2]
    return np.isin(patients, second)
