"""Control baselines (heatmaps without a network) and the sanity check of Adebayo et al. 2018.

Control heatmaps have the grid of the network's maps and are upsampled, thresholded and scored like
them. Each is scaled by its own range, whatever localize.scaling is, as a fixed scale is that of a
network.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage, stats

from cxr14.localization.boxes import BOX, PAIR, Boxes, scaled_to_255, to_cache
from cxr14.localization.detect import CACHE_TRANSFORM, Grids, grids_of_pairs
from cxr14.localization.heat_scale import heat_scale, scale_by_finding
from cxr14.localization.scores import BoxedPairs
from cxr14.metrics.auroc import Floats

if TYPE_CHECKING:
    from cxr14.models.network import Network


SMOOTHING = 1.0  # standard deviation of the random map's smoothing, in cells of the grid
SPREAD = 0.25  # standard deviation of the centre Gaussian, as a share of the image's side


def control_grids(
    boxed: BoxedPairs, grid: tuple[int, int], generator: np.random.Generator
) -> dict[str, Grids]:
    """Compute the heatmaps of the three control baselines.

    Args:
        boxed: P boxed pairs, and the halves of their patients.
        grid: (h, w) of the network's maps.
        generator: source of the random maps.

    Returns:
        By name of the control, (P, h, w) float16, each map from 0 to 1; a constant map is 0.
    """
    boxes = cached_boxes(boxed.pairs, boxed.ground_truth)
    covered = np.array([covered_cells(pair_boxes, boxed.size, grid) for pair_boxes in boxes])
    covered = covered.reshape(-1, *grid)
    controls = {
        "random": random_maps(len(boxes), grid, generator),
        "centre_gaussian": np.tile(centre_gaussian(grid), (len(boxes), 1, 1)),
        "mean_box": mean_boxes(covered, boxed.finding_of_pair, boxed.second_half),
    }
    full = {name: scaled_to_255(maps.astype(np.float32)) / 255 for name, maps in controls.items()}
    return {name: maps.astype(np.float16) for name, maps in full.items()}


def random_maps(
    count: int, grid: tuple[int, int], generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Sample smooth noise (count, h, w), as neighbouring cells of a network's maps agree."""
    noise = generator.standard_normal((count, *grid))
    smooth = ndimage.gaussian_filter(noise, (0.0, SMOOTHING, SMOOTHING), mode="reflect")
    return np.asarray(smooth)


def centre_gaussian(grid: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Evaluate a Gaussian in the middle of the image at the centres of the cells: (h, w)."""
    down, across = (
        np.exp(-0.5 * (((np.arange(cells) + 0.5) / cells - 0.5) / SPREAD) ** 2) for cells in grid
    )
    return np.asarray(np.outer(down, across))


def mean_boxes(
    covered: npt.NDArray[np.float64],
    findings: npt.NDArray[np.str_],
    second_half: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Give each pair the mean ground-truth box of its finding in the other half of patients.

    Where the other half has none of the finding, the mean is over all of its boxes; where that
    half is empty, there is no heat.

    Args:
        covered: (P, h, w) how much of each cell the pair's ground-truth boxes cover.
        findings: (P,) names.
        second_half: (P,), see scores.halves.

    Returns:
        (P, h, w), 0–1.
    """
    maps = np.zeros_like(covered)
    for finding in np.unique(findings):
        for half in (False, True):
            targets = (findings == finding) & (second_half == half)
            other_half = second_half != half
            same = other_half & (findings == finding)
            source = same if same.any() else other_half
            if targets.any() and source.any():
                maps[targets] = covered[source].mean(axis=0)
    return maps


def cached_boxes(pairs: pd.DataFrame, ground_truth: pd.DataFrame) -> list[Boxes]:
    """List the ground-truth boxes (K, 4) of each of P pairs in pixels of the cached image."""
    indices = ground_truth.groupby(PAIR).indices
    boxes = ground_truth[BOX].to_numpy(np.float64)
    transforms = pairs[CACHE_TRANSFORM].to_numpy(np.float64)
    names = pairs[PAIR].itertuples(index=False, name=None)
    return [
        to_cache(boxes[indices[name]], *transform)
        for name, transform in zip(names, transforms, strict=True)
    ]


def covered_cells(boxes: Boxes, size: int, grid: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Share of each cell of a grid over the image that the boxes cover.

    Args:
        boxes: (K, 4) in pixels of the cached image, K ≥ 1.
        size: side of the image in pixels.
        grid: (h, w); (size, size) for the pixels themselves.

    Returns:
        (h, w), 0–1; of several boxes the one that covers the cell most.
    """
    down = _covered(boxes[:, 1], boxes[:, 3], size, grid[0])  # (K, h)
    across = _covered(boxes[:, 0], boxes[:, 2], size, grid[1])  # (K, w)
    return np.asarray((down[:, :, None] * across[:, None, :]).max(axis=0))


def _covered(
    start: npt.NDArray[np.float64], length: npt.NDArray[np.float64], size: int, cells: int
) -> npt.NDArray[np.float64]:
    """Share of each of the cells of a side that intervals (K,) cover: (K, cells)."""
    edges = np.linspace(0, size, cells + 1)
    low = np.maximum(start[:, None], edges[None, :-1])
    high = np.minimum((start + length)[:, None], edges[None, 1:])
    return np.asarray(np.clip(high - low, 0.0, None) * cells / size)


# Sanity check (Adebayo et al. 2018): weights are randomized from the top down, and the maps
# compared with those of the trained network. A method with unchanged maps does not depend on the
# weights.
#
# The similarity is Spearman's rank correlation on the network's grid, as boxes depend on the order
# of the cells only. Upsampling would correlate neighbours, and the window of SSIM (7 to 11 pixels)
# spans the grid.


MAX_IMAGES = 24  # standard error of the mean about 0.05
OTHER_SEED: Final = 10_014  # seed of the random weights, unlike any training seed
SIMILAR: Final = 0.5
"""Mean |rank correlation| with random weights above which a method counts as unchanged."""


def sample(pairs: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the indices in ``pairs`` of all pairs of at most 24 images, evenly spread."""
    rows = np.unique(pairs["row"].to_numpy(np.int64))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).round().astype(int)]
    return np.flatnonzero(pairs["row"].isin(chosen).to_numpy())


def sanity_check_similarity(
    trained: "Network",
    build: Callable[[], "Network"],
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    grids: Grids,
    method: str,
    batch_size: int,
) -> pd.DataFrame:
    """Compare the maps of a network with those of its randomised copies.

    Args:
        trained: in eval mode.
        build: makes the same architecture with initial weights.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, as detect.boxed_pairs lists them.
        grids: (P, h, w) the trained network's maps.
        method: as of detect.grids_of_pairs.
        batch_size: images per forward pass.

    Returns:
        A row for each pair of :func:`sample`, by its index in ``pairs``; a column for the
        randomized layers, ``head`` (transition and prediction) and ``network`` (all): the
        similarity of the pair's maps, −1 … 1, NaN where one of them is flat.
    """
    indices = sample(pairs)
    if not len(pairs):
        return pd.DataFrame({"head": [], "network": []}, dtype=np.float64)
    new_head = build()
    new_head.features = trained.features
    similarity = {}
    for level, network in (("head", new_head), ("network", build())):
        maps = grids_of_pairs(network.eval(), images, pairs.iloc[indices], method, batch_size)
        similarity[level] = rank_correlations(grids[indices], maps)
    return pd.DataFrame(similarity, index=indices)


def rank_correlations(first: Grids, second: Grids) -> Floats:
    """Spearman's ρ of each of (P, h, w) with its counterpart; equal cells share their mean rank."""
    ranks = [
        stats.rankdata(maps.reshape(len(maps), -1).astype(np.float64), axis=1)
        for maps in (first, second)
    ]
    first_ranks, second_ranks = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread = np.sqrt((first_ranks**2).sum(axis=1) * (second_ranks**2).sum(axis=1))
    covariance = (first_ranks * second_ranks).sum(axis=1)
    rho = np.divide(covariance, spread, out=np.full(len(spread), np.nan), where=spread > 0)
    return np.asarray(rho)


# All heatmaps that are scored.


class Maps(NamedTuple):
    """Heatmaps of the boxed pairs."""

    boxed: BoxedPairs  # P pairs
    grids: dict[str, Grids]  # (P, h, w) by method; the first is the network's
    scale: pd.DataFrame  # see heat_scale.heat_scale
    similarity: pd.DataFrame  # see sanity_check_similarity

    @property
    def method(self) -> str:
        """Name of the network's maps among the grids."""
        return next(iter(self.grids))

    @property
    def network_grids(self) -> Grids:
        """The network's maps."""
        return self.grids[self.method]


def make_maps(
    network: "Network",
    build: Callable[[], "Network"],
    images: npt.NDArray[np.uint8],
    boxed: BoxedPairs,
    validation: pd.DataFrame,
    method: str,
    batch_size: int,
    generator: np.random.Generator,
) -> Maps:
    """Compute the network's heatmaps, the control baselines and the sanity check.

    Args:
        network: in eval mode.
        build: makes the same architecture with initial weights.
        images: (N, S, S) uint8, the cache.
        boxed: P pairs of findings among its classes.
        validation: see heat_scale.validation_images.
        method: one of cam.METHODS.
        batch_size: images per forward pass.
        generator: source of the random maps.
    """
    pairs, findings = boxed.pairs, [name for name in boxed.findings if name in network.classes]
    scale = heat_scale(boxed.scaling, network, images, validation, findings, method, batch_size)
    grids = grids_of_pairs(network, images, pairs, method, batch_size, scale_by_finding(scale))
    controls = control_grids(boxed, (grids.shape[1], grids.shape[2]), generator)
    similarity = sanity_check_similarity(network, build, images, pairs, grids, method, batch_size)
    return Maps(boxed, {method: grids} | controls, scale, similarity)
