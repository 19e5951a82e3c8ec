"""Control baselines: heatmaps without a network.

They have the grid of the network's maps, and are upsampled, thresholded and scored like them. Each
is scaled by its own range, whatever localize.scaling is, as a fixed scale is that of a network.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import cached_boxes, covered_cells, scaled_to_255
from cxr14.localization.scores import BoxedPairs
from cxr14.metrics.auroc import Floats

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


def random_maps(count: int, grid: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Sample smooth noise (count, h, w): neighbouring cells correlate, as in a network's maps."""
    noise = generator.standard_normal((count, *grid))
    smooth = ndimage.gaussian_filter(noise, (0.0, SMOOTHING, SMOOTHING), mode="reflect")
    return np.asarray(smooth)


def centre_gaussian(grid: tuple[int, int]) -> Floats:
    """Evaluate a Gaussian in the middle of the image at the centres of the cells: (h, w)."""
    down, across = (
        np.exp(-0.5 * (((np.arange(cells) + 0.5) / cells - 0.5) / SPREAD) ** 2) for cells in grid
    )
    return np.asarray(np.outer(down, across))


def mean_boxes(
    covered: Floats, findings: npt.NDArray[np.str_], second_half: npt.NDArray[np.bool_]
) -> Floats:
    """Mean ground-truth box of each pair's finding in the other half of the patients.

    If the other half has no box of the finding, the mean is over all of its boxes. If it is empty,
    there is no heat.

    Args:
        covered: (P, h, w) share of each cell that the pair's ground-truth boxes cover.
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
