"""Two scores of a heatmap that need no threshold: the pointing game and the energy in the box.

A fixed scale is not cut at its top here. About half of the maps exceed it: cut, their hottest
pixel would be any of a wide field, and a peak would count as much as what surrounds it.
"""

import numpy as np
import numpy.typing as npt

from cxr14.localization.cases import Cases
from cxr14.localization.controls import cached_boxes, covered_cells
from cxr14.localization.detect import Grids, uncut_heat


def pointing_and_energy(cases: Cases, grids: Grids) -> npt.NDArray[np.float64]:
    """Score the heatmap (h, w) of each of P pairs: (P, 2), see :func:`pointing`, :func:`energy`."""
    size, scores = cases.size, []
    for grid, boxes in zip(grids, cached_boxes(cases.pairs, cases.drawn), strict=True):
        heat = uncut_heat(grid, size, cases.scaling)
        inside = covered_cells(boxes, size, (size, size))
        scores.append((pointing(heat, inside), energy(heat, inside)))
    return np.asarray(scores, np.float64).reshape(-1, 2)


def pointing(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Whether the hottest pixel lies in a drawn box (Zhang et al. 2016), without tolerance.

    The maximum is often a patch of equal pixels, as the border cells of a grid are not
    interpolated; then the score is the share of them that lies inside, which is what a pixel
    drawn from them would score on average. A map without heat points nowhere and scores 0.

    Args:
        heat: (S, S), not negative.
        inside: (S, S) share of each pixel that the drawn boxes cover.
    """
    return float(inside[heat == heat.max()].mean()) if heat.any() else 0.0


def energy(heat: npt.NDArray[np.float32], inside: npt.NDArray[np.float64]) -> float:
    """Share of all heat that lies inside the drawn boxes (Wang H. et al. 2020, section 4.3).

    A map without heat scores 0. Arguments as of :func:`pointing`.
    """
    total = heat.sum(dtype=np.float64)
    return float((heat * inside).sum() / total) if total else 0.0
