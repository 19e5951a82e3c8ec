"""Do the heatmaps depend on what was learnt? The parameter randomisation of Adebayo et al. 2018.

Weights are made anew from the top down, and the maps compared with those of the trained network:
a method that draws the same map without the weights shows the image, not the network.

They are compared by Spearman's rank correlation on the network's own grid. Boxes come from
thresholds on scaled maps, so the order of a map's cells is what counts; upsampling would make
neighbours agree by construction; and a structural similarity (SSIM), whose window of 7 to 11
pixels spans the whole grid, would have nothing to slide over.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from cxr14.localization.detect import Grids, grids_of_pairs
from cxr14.ranking import Floats

if TYPE_CHECKING:
    from cxr14.models.network import Network

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
