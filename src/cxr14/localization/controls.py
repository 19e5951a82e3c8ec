"""Heatmaps that no network made. What a method does not beat, it has not found.

All lie on the grid of the network's own maps, and go the same way from there: upsampled,
scaled, thresholded, boxed, scored. Each fills its own range, whatever localize.scaling is: a fixed
scale says how much heat a network usually has, and these have none. The mean of the boxes of a
small finding is .04 at most; left so, no threshold would find it.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from cxr14.localization.boxes import scaled_to_255, to_cache
from cxr14.localization.cases import Cases
from cxr14.localization.detect import PLACE, Grids
from cxr14.localization.overlap import BOX, Boxes
from cxr14.localization.scoring import PAIR

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
