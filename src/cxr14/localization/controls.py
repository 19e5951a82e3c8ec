"""Heatmaps that no network made. What a method does not beat, it has not found.

All lie on the grid of the network's own maps, and go the same way from there: upsampled,
scaled, thresholded, boxed, scored. Each fills its own range, whatever localize.scaling is: a fixed
scale says how much heat a network usually has, and these have none. The mean of the boxes of a
small finding is .04 at most; left so, no threshold would find it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage, stats

from cxr14.localization.boxes import BOX, PAIR, Boxes, scaled_to_255, to_cache
from cxr14.localization.detect import PLACE, Grids, grids_of_pairs
from cxr14.localization.heat_scale import heat_scale, tops_of
from cxr14.localization.scores import Cases
from cxr14.metrics.auroc import Floats

if TYPE_CHECKING:
    from cxr14.models.network import Network


SMOOTHING = 1.0  # standard deviation of the random map's smoothing, in cells of the grid
SPREAD = 0.25  # standard deviation of the centre Gaussian, as a share of the image's side


def control_grids(
    cases: Cases, grid: tuple[int, int], generator: np.random.Generator
) -> dict[str, Grids]:
    """Make the heatmaps of the three controls.

    Args:
        cases: P boxed pairs, and the halves of their patients.
        grid: (h, w) of the network's maps.
        generator: source of the random maps.

    Returns:
        By name of the control, (P, h, w) float16, each map from 0 to 1; a constant map is 0.
    """
    boxes = cached_boxes(cases.pairs, cases.drawn)
    covered = np.array([covered_cells(own, cases.size, grid) for own in boxes])
    covered = covered.reshape(-1, *grid)
    made = {
        "random": random_maps(len(boxes), grid, generator),
        "centre_gaussian": np.tile(centre_gaussian(grid), (len(boxes), 1, 1)),
        "mean_box": mean_boxes(covered, cases.finding_of_pair, cases.second_half),
    }
    full = {name: scaled_to_255(maps.astype(np.float32)) / 255 for name, maps in made.items()}
    return {name: maps.astype(np.float16) for name, maps in full.items()}


def random_maps(
    count: int, grid: tuple[int, int], generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw smooth noise (count, h, w): neighbours agree, as in a network's maps."""
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
    """Give each pair the mean of the drawn boxes of its finding in the other half of patients.

    Where the other half has none of the finding, the mean is over all of its boxes; where that
    half is empty, there is no heat.

    Args:
        covered: (P, h, w) how much of each cell the pair's drawn boxes cover.
        findings: (P,) names.
        second_half: (P,), see cases.halves.

    Returns:
        (P, h, w), 0–1.
    """
    maps = np.zeros_like(covered)
    for finding in np.unique(findings):
        for half in (False, True):
            own = (findings == finding) & (second_half == half)
            other = second_half != half
            same = other & (findings == finding)
            source = same if same.any() else other
            if own.any() and source.any():
                maps[own] = covered[source].mean(axis=0)
    return maps


def cached_boxes(pairs: pd.DataFrame, drawn: pd.DataFrame) -> list[Boxes]:
    """List the drawn boxes (K, 4) of each of P pairs in pixels of the cached image."""
    own = drawn.groupby(PAIR).indices
    boxes = drawn[BOX].to_numpy(np.float64)
    places = pairs[PLACE].to_numpy(np.float64)
    names = pairs[PAIR].itertuples(index=False, name=None)
    return [to_cache(boxes[own[name]], *place) for name, place in zip(names, places, strict=True)]


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


# Do the heatmaps depend on what was learnt? The parameter randomisation of Adebayo et al. 2018.
#
# Weights are made anew from the top down, and the maps compared with those of the trained network:
# a method that draws the same map without the weights shows the image, not the network.
#
# They are compared by Spearman's rank correlation on the network's own grid. Boxes come from
# thresholds on scaled maps, so the order of a map's cells is what counts; upsampling would make
# neighbours agree by construction; and a structural similarity (SSIM), whose window of 7 to 11
# pixels spans the whole grid, would have nothing to slide over.


MOST_IMAGES = 24  # two more forward passes of each; their mean is known to about .05
OTHER_SEED: Final = 10_014  # of the new weights: not one that the training started from
SIMILAR: Final = 0.5
"""Above this mean |rank correlation| with all weights anew, a method counts as unchanged."""


def sample(pairs: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Places in ``pairs`` of all pairs of at most 24 images, evenly spread over the cache."""
    rows = np.unique(pairs["row"].to_numpy(np.int64))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_IMAGES)).round().astype(int)]
    return np.flatnonzero(pairs["row"].isin(chosen).to_numpy())


def randomised_similarity(
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
        A row for each pair of :func:`sample`, by its place in ``pairs``; a column for what was
        made anew, ``head`` (transition and prediction) and ``network`` (all): the similarity of
        the pair's maps, −1 … 1, NaN where one of them is flat.
    """
    places = sample(pairs)
    if not len(pairs):
        return pd.DataFrame({"head": [], "network": []}, dtype=np.float64)
    new_head = build()
    new_head.features = trained.features
    similarity = {}
    for anew, network in (("head", new_head), ("network", build())):
        maps = grids_of_pairs(network.eval(), images, pairs.iloc[places], method, batch_size)
        similarity[anew] = rank_correlations(grids[places], maps)
    return pd.DataFrame(similarity, index=places)


def rank_correlations(first: Grids, second: Grids) -> Floats:
    """Spearman's ρ of each of (P, h, w) with its like; equal cells share their mean rank."""
    ranks = [
        stats.rankdata(maps.reshape(len(maps), -1).astype(np.float64), axis=1)
        for maps in (first, second)
    ]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    together = (one * other).sum(axis=1)
    rho = np.divide(together, spread, out=np.full(len(spread), np.nan), where=spread > 0)
    return np.asarray(rho)


# All heatmaps that are scored: a network's, the controls', and those without what was learnt.


class Maps(NamedTuple):
    """Heatmaps of the boxed pairs."""

    cases: Cases  # P pairs
    grids: dict[str, Grids]  # (P, h, w) by method; the first is the network's
    scale: pd.DataFrame  # see scale.heat_scale
    similarity: pd.DataFrame  # see randomisation.randomised_similarity

    @property
    def method(self) -> str:
        """Name of the network's maps among the grids."""
        return next(iter(self.grids))

    @property
    def own(self) -> Grids:
        """The network's maps."""
        return self.grids[self.method]


def make_maps(
    network: "Network",
    build: Callable[[], "Network"],
    images: npt.NDArray[np.uint8],
    cases: Cases,
    validation: pd.DataFrame,
    method: str,
    batch_size: int,
    generator: np.random.Generator,
) -> Maps:
    """Compute the network's heatmaps and all that they are held against.

    Args:
        network: in eval mode.
        build: makes the same architecture with initial weights.
        images: (N, S, S) uint8, the cache.
        cases: P pairs of findings among its classes.
        validation: see scale.validation_images.
        method: one of saliency.METHODS.
        batch_size: images per forward pass.
        generator: draws the random maps.
    """
    pairs, findings = cases.pairs, [name for name in cases.findings if name in network.classes]
    scale = heat_scale(cases.scaling, network, images, validation, findings, method, batch_size)
    own = grids_of_pairs(network, images, pairs, method, batch_size, tops_of(scale))
    controls = control_grids(cases, (own.shape[1], own.shape[2]), generator)
    similarity = randomised_similarity(network, build, images, pairs, own, method, batch_size)
    return Maps(cases, {method: own} | controls, scale, similarity)
