"""Pairs to score and their heatmaps; means of scores by finding with intervals by patient."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.labels import FINDINGS
from cxr14.localization.heatmaps import (
    SOURCE_SIZE,
    Grids,
    cached_mask,
    detect,
    downsampled,
    listed_findings,
)
from cxr14.localization.means import Means, by_finding, means_by_finding, wilson_interval
from cxr14.localization.overlap import (
    CACHE_TRANSFORM,
    MEAN,
    Boxes,
    cached_boxes,
    covered_cells,
    with_overlaps,
)
from cxr14.masks import decode_mask
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import (
    ENDS,
    N_REPLICATES,
    enough_patients,
    patient_weights,
    too_few_patients,
)
from cxr14.metrics.intervals import FIXED, difference, summary

NOT_TRAINED = "not trained"
NO_PIXELS = "no boxed image with pixels"
NO_MASKS = "no test image with a mask (only phantoms have masks)"
SAME = "the same in every resample"


@dataclass(frozen=True)
class ScoredPairs(ABC):
    """P pairs of image and finding with ground truth, and the replicates of their patients."""

    pairs: pd.DataFrame  # image, finding, patient, row, and the transform to the cache
    size: int  # side of the cached images in pixels
    scaling: str  # of heatmaps to 0–255
    findings: list[str]  # F to report, trained or not
    trained: tuple[str, ...]
    weights: npt.NDArray[np.int64]  # (R, P) bootstrap weights by patient; R = 0 for one patient

    missing: ClassVar[str]  # why a finding that was trained has no pair
    average: ClassVar[str]  # name of the control baseline of average positions

    @abstractmethod
    def inside(self, index: int) -> Floats:
        """Share of each pixel of the cached image that the ground truth covers: (S, S)."""

    @abstractmethod
    def covered(self, grid: tuple[int, int]) -> Floats:
        """Share of each cell of a grid over the image that the ground truth covers: (P, h, w)."""

    @property
    def finding_of_pair(self) -> npt.NDArray[np.str_]:
        """Finding of each pair: (P,)."""
        return self.pairs["finding"].to_numpy(str)

    def means(self, values: npt.NDArray[np.generic], *, share: bool = True) -> Means:
        """Average values (P, K) by finding, with intervals by patient.

        Fewer than bootstrap.MIN_PATIENTS patients have no interval. If all pairs of a finding have
        the same value, its bootstrap interval has no width. A share of 0 or 1 then has Wilson's
        interval, with patients as cases. Any other value has none.

        Args:
            values: numbers or booleans.
            share: whether they are within 0 and 1.
        """
        means = means_by_finding(values, self.finding_of_pair, self.findings, self.weights)
        constant = np.isclose(means.low, means.high, rtol=0, atol=1e-12)
        edge = np.isclose(means.value, 0, rtol=0) | np.isclose(means.value, 1, rtol=0)
        wilson = wilson_interval(means.value.round(12).clip(0, 1), self._cases()[:, None])
        low, high = (
            np.where(constant, np.where(edge & share, end, np.nan), percentile)
            for end, percentile in zip(wilson, means[1:], strict=True)
        )
        return self._where_enough(Means(means.value, low, high))

    @cached_property
    def patients(self) -> npt.NDArray[np.int64]:
        """Number of patients with each finding: (F,)."""
        counts = self.pairs.groupby("finding")["patient"].nunique()
        return np.asarray(counts.reindex(self.findings, fill_value=0), np.int64)

    def _cases(self) -> Floats:
        """Patients with each finding, and the effective number of the mean over findings: (F + 1,).

        The mean of F proportions, of n_f patients each, has the variance of one proportion of
        F² / Σ 1/n_f cases, but the same patient may have several findings.
        """
        counts = np.where(self.patients > 0, self.patients, np.nan)
        known = counts[np.isfinite(counts)]
        mean = len(known) ** 2 / (1 / known).sum() if len(known) else np.nan
        return np.append(counts, min(mean, self.pairs["patient"].nunique()))

    def _where_enough(self, means: Means) -> Means:
        """Return the means without the intervals of findings with too few patients.

        The interval over findings needs enough patients of each finding that has pairs.
        """
        enough = enough_patients(self.patients)
        rows = np.append(enough, enough[self.patients > 0].all())[:, None]
        return Means(means.value, *(np.where(rows, ends, np.nan) for ends in means[1:]))

    def differences(self, first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> Means:
        """Average first minus second, (P, K) each, on the same replicates.

        There is no interval of too few patients, or if either side is the same in every replicate
        (see metrics.intervals).
        """
        weights = np.concatenate([np.ones((1, len(self.pairs)), np.int64), self.weights])
        one, other = (
            by_finding(values, self.finding_of_pair, self.findings, weights)
            for values in (first, second)
        )  # (1 + R, F + 1, K)
        numbers = np.full((3, *one.shape[1:]), np.nan)
        for row, column in np.ndindex(one.shape[1:]):
            values = difference(one[:, row, column], other[:, row, column])
            numbers[:, row, column] = np.array(summary(values)[:3], np.float64)  # None is NaN
        return self._where_enough(Means(*numbers))

    def tidy(self, keys: Sequence[dict[str, Any]], measured: dict[str, Means]) -> pd.DataFrame:
        """Return K scores as a table, a row per key and finding; the last finding is the mean.

        Args:
            keys: K dicts of the columns that identify a score.
            measured: scores of K columns, by name; a name of differences ends so.

        Returns:
            The keys' columns, finding, n_pairs (null for a finding that was not trained), each
            score with ``_low`` and ``_high``, and reason: why there is no score or interval.
        """
        rows = len(self.findings) + 1
        table = pd.DataFrame([key for key in keys for _ in range(rows)])
        table["finding"] = [*self.findings, MEAN] * len(keys)
        table["n_pairs"] = pd.concat([self.counts()] * len(keys), ignore_index=True)
        constant = [""] * len(table)
        for name, means in measured.items():
            value, low, high = (numbers.T.ravel() for numbers in means)  # by key, then by finding
            table[[name + end for end in ENDS]] = np.stack([value, low, high], axis=-1)
            reason = f"; {name}: {FIXED if name.endswith('difference') else SAME}"
            for row in np.flatnonzero(~np.isnan(value) & np.isnan(low)):
                constant[row] += reason
        reasons = zip(self._reasons() * len(keys), constant, strict=True)
        table["reason"] = [
            reason or (f"no interval of {names[2:]}" if names else "") for reason, names in reasons
        ]
        return table

    def counts(self, chosen: npt.NDArray[np.bool_] | None = None) -> pd.Series:
        """Count pairs, or chosen pairs (P,), by finding (null: not trained) and in total."""
        chosen_findings = self.finding_of_pair if chosen is None else self.finding_of_pair[chosen]
        counts = {name: int((chosen_findings == name).sum()) for name in self.findings}
        trained_counts = [count if name in self.trained else None for name, count in counts.items()]
        return pd.Series([*trained_counts, len(chosen_findings)], dtype="Int64")

    def _reasons(self) -> list[str]:
        """Return for each finding, and for the mean, why a score or an interval is missing."""
        reasons, few = [], []
        for name, patients in zip(self.findings, self.patients.tolist(), strict=True):
            if not patients:
                reasons.append(self.missing if name in self.trained else NOT_TRAINED)
                continue
            reason = too_few_patients({"": patients})
            reasons.append(f"no interval: {reason}" if reason else "")
            few += [name] if reason else []
        mean = f"no interval: too few patients of {', '.join(few)}" if few else ""
        return [*reasons, mean if len(self.pairs) else self.missing]


@dataclass(frozen=True)
class BoxedPairs(ScoredPairs):
    """Pairs with ground-truth boxes, and random halvings of their patients; see :func:`gather`."""

    ground_truth: pd.DataFrame  # their boxes: data/records/boxes.parquet
    second_halves: npt.NDArray[np.bool_]  # (H, P) whether a pair is in the second half

    missing = NO_PIXELS
    average = "mean_box"

    def inside(self, index: int) -> Floats:
        """Share of each pixel that the boxes of a pair cover."""
        return covered_cells(self.boxes[index], self.size, (self.size, self.size))

    def covered(self, grid: tuple[int, int]) -> Floats:
        """Share of each cell of a grid that the boxes of each pair cover."""
        cells = [covered_cells(boxes, self.size, grid) for boxes in self.boxes]
        return np.asarray(cells, np.float64).reshape(-1, *grid)

    @cached_property
    def boxes(self) -> list[Boxes]:
        """Ground-truth boxes (K, 4) of each pair in pixels of the cached image."""
        return cached_boxes(self.pairs, self.ground_truth)

    def overlaps(self, grids: Grids, heat_thresholds: Sequence[int]) -> pd.DataFrame:
        """Detect boxes in heatmaps (P, h, w), with their overlap with the ground truth."""
        detections = detect(self.pairs, grids, self.size, heat_thresholds, self.scaling)
        return with_overlaps(detections, self.ground_truth)


@dataclass(frozen=True)
class MaskedPairs(ScoredPairs):
    """Pairs with a mask, of all findings that an image shows; see :func:`gather_masked`."""

    runs: Sequence[npt.NDArray[np.int32]]  # P masks, see cxr14.masks

    missing = NO_MASKS
    average = "mean_mask"

    def inside(self, index: int) -> Floats:
        """Whether the centre of each pixel is in the mask: 0 or 1."""
        mask = cached_mask(decode_mask(self.runs[index]), self.transforms[index], self.size)
        return mask.astype(np.float64)

    @cached_property
    def transforms(self) -> Floats:
        """Scale, offsets and size of the source of each pair, see heatmaps.cached_mask: (P, 5)."""
        return self.pairs[[*CACHE_TRANSFORM, *SOURCE_SIZE]].to_numpy(np.float64)

    def covered(self, grid: tuple[int, int]) -> Floats:
        """Share of the pixels of each cell that are in the mask of each pair."""
        masks = np.zeros((len(self.runs), *grid))
        for index in range(len(self.runs)):
            masks[index] = downsampled(self.inside(index), grid)
        return masks


N_HALVINGS: Final = 50
"""Halvings of the patients over which cross-fitted scores are averaged."""


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
    weights = _replicate_weights(pairs, generator, resamples)
    patients = pairs["patient"].to_numpy()
    second = np.stack([halves(patients, generator) for _ in range(N_HALVINGS)])
    findings = listed_findings(pairs)
    return BoxedPairs(pairs, size, scaling, findings, tuple(trained), weights, ground_truth, second)


def gather_masked(
    pairs: pd.DataFrame,
    size: int,
    scaling: str,
    trained: Sequence[str],
    generator: np.random.Generator,
    resamples: int = N_REPLICATES,
) -> MaskedPairs:
    """Draw the bootstrap replicates of masked pairs (heatmaps.masked_pairs), see :func:`gather`."""
    weights = _replicate_weights(pairs, generator, resamples)
    keys, runs = pairs.drop(columns="runs"), pairs["runs"].tolist()
    return MaskedPairs(keys, size, scaling, [*FINDINGS], tuple(trained), weights, runs)


def _replicate_weights(
    pairs: pd.DataFrame, generator: np.random.Generator, resamples: int
) -> npt.NDArray[np.int64]:
    """Draw replicates of the patients of P pairs: (R, P); none if there is a single patient."""
    patients = pairs["patient"].to_numpy()
    if len(np.unique(patients)) < 2:
        return np.zeros((0, len(pairs)), np.int64)
    return patient_weights(patients, resamples, generator)


def halves(
    patients: npt.NDArray[np.generic], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Split the patients of P pairs into two halves at random; True (P,) for the second."""
    distinct = np.unique(patients)
    second = generator.permutation(distinct)[: len(distinct) // 2]
    return np.isin(patients, second)


class PixelMaps(NamedTuple):
    """Heatmaps of the masked pairs."""

    masked: MaskedPairs  # Q pairs
    grids: dict[str, Grids]  # (Q, h, w) by method; the first is the network's


class Maps(NamedTuple):
    """Heatmaps of the boxed and of the masked pairs."""

    boxed: BoxedPairs  # P pairs
    grids: dict[str, Grids]  # (P, h, w) by method; the first is the network's
    scale: pd.DataFrame  # see cam.heat_scale
    similarity: pd.DataFrame  # see sanity_check.sanity_check_similarity
    pixels: PixelMaps

    @property
    def method(self) -> str:
        """Name of the network's method among the grids."""
        return next(iter(self.grids))

    @property
    def network_grids(self) -> Grids:
        """Grids of the network."""
        return self.grids[self.method]
