"""Boxed pairs and their heatmaps; means of scores by finding with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.heatmaps import Grids, detect, listed_findings
from cxr14.localization.overlap import MEAN, with_overlaps
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import ENDS, MAX_DROPPED_SHARE, N_REPLICATES, interval, patient_weights


class Means(NamedTuple):
    """Of F findings, then of their mean; NaN where there is nothing to average or no interval."""

    value: Floats  # (F + 1, K)
    low: Floats  # (F + 1, K)
    high: Floats  # (F + 1, K)


def means_by_finding(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
    weights: npt.NDArray[np.int64],
) -> Means:
    """Average K values of each pair by finding, and over findings.

    The mean is over the findings that have pairs. A replicate without any pair of a finding is
    dropped for that finding and for the mean (see bootstrap.interval).

    Args:
        values: (P, K) numbers or booleans.
        finding_of_pair: (P,) names.
        findings: F names; one without pairs is NaN, and not in the mean.
        weights: (R, P) how often each pair counts in each replicate.
    """
    low, high = _intervals(_by_finding(values, finding_of_pair, findings, weights))
    return Means(plain_means(values, finding_of_pair, findings), low, high)


def plain_means(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
) -> Floats:
    """Average as :func:`means_by_finding`, without intervals: (F + 1, K)."""
    once = np.ones((1, len(values)), np.int64)
    return np.asarray(_by_finding(values, finding_of_pair, findings, once)[0])


def _by_finding(
    values: npt.NDArray[np.generic],
    finding_of_pair: npt.NDArray[np.str_],
    findings: Sequence[str],
    weights: npt.NDArray[np.int64],
) -> Floats:
    """Weighted means by finding and their mean, under each of R weightings: (R, F + 1, K)."""
    numbers, means = values.astype(np.float64), []
    for name in findings:
        indices = np.flatnonzero(finding_of_pair == name)
        count = weights[:, indices].sum(axis=1, keepdims=True)  # (R, 1)
        mean = weights[:, indices] @ numbers[indices] / np.maximum(count, 1)
        means.append(np.where(count > 0, mean, np.nan))
    by_finding = np.stack(means, axis=-1)  # (R, K, F)
    known = np.isin(findings, finding_of_pair)
    mean = np.full(by_finding.shape[:2], np.nan)
    if known.any():
        mean = by_finding[..., known].mean(axis=-1)
    return np.concatenate([by_finding, mean[..., None]], axis=-1).transpose(0, 2, 1)


def _intervals(resampled: Floats) -> tuple[Floats, Floats]:
    """Low and high end of the intervals of (R, F + 1, K), NaN where there is none."""
    ends = np.full((*resampled.shape[1:], 2), np.nan)
    for row, column in np.ndindex(ends.shape[:2]):
        low, high, _ = interval(resampled[:, row, column])
        if low is not None:
            ends[row, column] = low, high
    return ends[..., 0], ends[..., 1]


NOT_TRAINED = "not trained"
NO_PIXELS = "no boxed image with pixels"
ONE_PATIENT = "no interval: all boxed images are of one patient"


@dataclass(frozen=True)
class BoxedPairs:
    """P image–finding pairs with boxes, replicates and halves; see :func:`gather`."""

    pairs: pd.DataFrame  # see heatmaps.boxed_pairs
    ground_truth: pd.DataFrame  # their boxes: data/records/boxes.parquet
    size: int  # side of the cached images in pixels
    scaling: str  # of heatmaps to 0–255
    findings: list[str]  # F to report, trained or not
    trained: tuple[str, ...]
    weights: npt.NDArray[np.int64]  # (R, P) bootstrap weights by patient; R = 0 for one patient
    second_half: npt.NDArray[np.bool_]  # (P,) halves of the patients

    @property
    def finding_of_pair(self) -> npt.NDArray[np.str_]:
        """Finding of each pair: (P,)."""
        return self.pairs["finding"].to_numpy(str)

    def overlaps(self, grids: Grids, heat_thresholds: Sequence[int]) -> pd.DataFrame:
        """Detect boxes in heatmaps (P, h, w), with their overlap with the ground truth."""
        detections = detect(self.pairs, grids, self.size, heat_thresholds, self.scaling)
        return with_overlaps(detections, self.ground_truth)

    def means(self, values: npt.NDArray[np.generic]) -> Means:
        """Average values (P, K) by finding, with intervals by patient."""
        return means_by_finding(values, self.finding_of_pair, self.findings, self.weights)

    def tidy(self, keys: Sequence[dict[str, Any]], measured: dict[str, Means]) -> pd.DataFrame:
        """Return K scores as a table, a row per key and finding; the last finding is the mean.

        Args:
            keys: K dicts of the columns that identify a score.
            measured: scores of K columns, by name.

        Returns:
            The keys' columns, finding, n_pairs (null for a finding that was not trained), each
            score with ``_low`` and ``_high``, and reason: why there is no score or interval.
        """
        findings = pd.DataFrame({"finding": [*self.findings, MEAN], "n_pairs": self.counts()})
        findings["reason"] = self._reasons()
        tables = []
        for column, key in enumerate(keys):
            scores = {
                name + end: numbers[:, column]
                for name, means in measured.items()
                for end, numbers in zip(ENDS, means, strict=True)
            }
            table = findings.assign(**key, **scores)
            tables.append(table[[*key, "finding", "n_pairs", *scores, "reason"]])
        return pd.concat(tables, ignore_index=True)

    def counts(self, chosen: npt.NDArray[np.bool_] | None = None) -> pd.Series:
        """Count pairs, or chosen pairs (P,), by finding (null: not trained) and in total."""
        chosen_findings = self.finding_of_pair if chosen is None else self.finding_of_pair[chosen]
        counts = {name: int((chosen_findings == name).sum()) for name in self.findings}
        trained_counts = [count if name in self.trained else None for name, count in counts.items()]
        return pd.Series([*trained_counts, len(chosen_findings)], dtype="Int64")

    def _reasons(self) -> list[str]:
        """Return for each finding, and for the mean, why a score or an interval is missing."""
        reasons, dropped = [], np.zeros(len(self.weights), bool)
        for name in self.findings:
            with_finding = self.finding_of_pair == name
            absent = (self.weights[:, with_finding] == 0).all(axis=1)
            if with_finding.any():
                dropped |= absent
                reasons.append(_no_interval(absent, "lack it"))
            else:
                reasons.append(NO_PIXELS if name in self.trained else NOT_TRAINED)
        return [*reasons, _no_interval(dropped, "lack a finding") if len(self.pairs) else NO_PIXELS]


def _no_interval(dropped: npt.NDArray[np.bool_], what: str) -> str:
    """Return why there is no interval if R replicates (R,) are dropped; empty if there is one."""
    if not len(dropped):
        return ONE_PATIENT
    share = dropped.mean()
    return "" if share <= MAX_DROPPED_SHARE else f"no interval: {share:.1%} of resamples {what}"


def gather(
    pairs: pd.DataFrame,
    ground_truth: pd.DataFrame,
    size: int,
    scaling: str,
    trained: Sequence[str],
    generator: np.random.Generator,
    resamples: int = N_REPLICATES,
) -> BoxedPairs:
    """Draw the bootstrap replicates and the halves of the patients for all scores.

    Args:
        pairs: see heatmaps.boxed_pairs.
        ground_truth: data/records/boxes.parquet.
        size: side of the cached images in pixels.
        scaling: per_map or fixed, see heatmaps.
        trained: the network's classes.
        generator: source of the draws.
        resamples: number of replicates.
    """
    patients = pairs["patient"].to_numpy()
    weights = np.zeros((0, len(pairs)), np.int64)
    if len(np.unique(patients)) > 1:
        weights = patient_weights(patients, resamples, generator)
    findings, second = listed_findings(pairs), halves(patients, generator)
    return BoxedPairs(pairs, ground_truth, size, scaling, findings, tuple(trained), weights, second)


def halves(
    patients: npt.NDArray[np.generic], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Split the patients of P pairs into two halves at random; True (P,) for the second."""
    distinct = np.unique(patients)
    second = generator.permutation(distinct)[: len(distinct) // 2]
    return np.isin(patients, second)


class Maps(NamedTuple):
    """Heatmaps of the boxed pairs."""

    boxed: BoxedPairs  # P pairs
    grids: dict[str, Grids]  # (P, h, w) by method; the first is the network's
    scale: pd.DataFrame  # see cam.heat_scale
    similarity: pd.DataFrame  # see sanity_check.sanity_check_similarity

    @property
    def method(self) -> str:
        """Name of the network's method among the grids."""
        return next(iter(self.grids))

    @property
    def network_grids(self) -> Grids:
        """Grids of the network."""
        return self.grids[self.method]
