"""Control baselines: heatmaps without a network.

They have the grid of the network's maps, and are upsampled, thresholded and scored like them. Each
is scaled by its own range, whatever localize.scaling is, as a fixed scale is that of a network.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.localization.cam import smooth_heatmaps
from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import scaled_to_255
from cxr14.localization.scores import ScoredPairs
from cxr14.metrics.auroc import Floats

SMOOTHING = 1.0  # standard deviation of the random map's smoothing, in cells of the grid
SPREAD = 0.25  # standard deviation of the centre Gaussian, as a share of the image's side


def control_grids(
    scored: ScoredPairs, grid: tuple[int, int], smoothing: float, generator: np.random.Generator
) -> dict[str, Grids]:
    """Compute the heatmaps of the three control baselines.

    Args:
        scored: P pairs with their ground truth.
        grid: (h, w) of the network's maps.
        smoothing: of the network's maps, see cam.smooth_heatmaps.
        generator: source of the random maps.

    Returns:
        By name of the control, (P, h, w) float16, each map from 0 to 1; a constant map is 0.
    """
    count, patients = len(scored.pairs), scored.pairs["patient"].to_numpy()
    controls = {
        "random": random_maps(count, grid, generator),
        "centre_gaussian": np.tile(centre_gaussian(grid), (count, 1, 1)),
        scored.average: mean_of_others(scored.covered(grid), scored.finding_of_pair, patients),
    }
    smooth = {
        name: smooth_heatmaps(raw.astype(np.float32), smoothing) for name, raw in controls.items()
    }
    return {name: (scaled_to_255(maps) / 255).astype(np.float16) for name, maps in smooth.items()}


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


def mean_of_others(
    covered: Floats, findings: npt.NDArray[np.str_], patients: npt.NDArray[np.generic]
) -> Floats:
    """Mean ground truth of each pair's finding in all other patients.

    If no other patient has the finding, the mean is over all their pairs. If there is no other
    patient, there is no heat.

    Args:
        covered: (P, h, w) share of each cell that the pair's ground truth covers.
        findings: (P,) names.
        patients: (P,).

    Returns:
        (P, h, w), 0–1.
    """
    maps = np.zeros_like(covered)
    for finding in np.unique(findings):
        same = findings == finding
        for patient in np.unique(patients[same]):
            others = patients != patient
            source = same & others if (same & others).any() else others
            if source.any():
                maps[same & ~others] = covered[source].mean(axis=0)
    return maps
