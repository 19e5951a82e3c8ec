"""Sanity check of saliency maps (Adebayo et al. 2018): maps of networks with random weights.

Weights are randomized from the top down, and the maps compared with those of the trained network. A
method with unchanged maps does not depend on the weights.

The similarity is Spearman's rank correlation on the network's grid, as boxes depend on the order of
the cells only. Upsampling would correlate neighbours, and the window of SSIM (7 to 11 pixels) spans
the grid.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.cam import SaliencySettings, normalized_heatmaps
from cxr14.localization.heatmaps import Grids
from cxr14.localization.means import means_by_finding
from cxr14.localization.scores import BoxedPairs
from cxr14.metrics.auroc import Floats, midranks
from cxr14.metrics.bootstrap import ENDS, too_few_patients

if TYPE_CHECKING:
    from cxr14.models.network import Network


MAX_IMAGES = 24  # standard error of the mean about 0.05
OTHER_SEED: Final = 10_014  # seed of the random weights, unlike any training seed
SIMILAR: Final = 0.5
"""Mean |rank correlation| with random weights above which a method counts as unchanged."""

NO_PAIRS: Final = "no pair of maps to compare"


def sample(pairs: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the indices in ``pairs`` of all pairs of at most MAX_IMAGES images, evenly spaced."""
    rows = np.unique(pairs["row"].to_numpy(np.int64))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).round().astype(int)]
    return np.flatnonzero(pairs["row"].isin(chosen).to_numpy())


def sanity_check_similarity(
    trained: "Network",
    build: Callable[[], "Network"],
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    grids: Grids,
    settings: SaliencySettings,
) -> pd.DataFrame:
    """Compare the maps of a network with those of its randomized copies.

    Args:
        trained: in eval mode.
        build: makes the same architecture with initial weights.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, see heatmaps.boxed_pairs.
        grids: (P, h, w) the trained network's maps.
        settings: of the trained network's maps.

    Returns:
        A row for each pair of :func:`sample`, by its index in ``pairs``; a column for the
        randomized layers, ``head`` (transition and prediction) and ``network`` (all): the
        similarity of the pair's maps, −1 … 1, NaN if one of them is constant.
    """
    indices = sample(pairs)
    if not len(pairs):
        return pd.DataFrame({"head": [], "network": []}, dtype=np.float64)
    network = build()
    similarity = {}
    for layers, features in (("head", trained.features), ("network", network.features)):
        network.features = features
        maps = normalized_heatmaps(network.eval(), images, pairs.iloc[indices], settings)
        similarity[layers] = rank_correlations(grids[indices], maps)
    return pd.DataFrame(similarity, index=indices)


def rank_correlations(grids1: Grids, grids2: Grids) -> Floats:
    """Spearman's ρ of each map (P, h, w) with its counterpart; equal cells share their mean rank.

    Returns:
        (P,), NaN if one of the two is constant.
    """
    flat = [grids.reshape(len(grids), -1) for grids in (grids1, grids2)]
    ranks = [np.array([midranks(row) for row in rows]).reshape(rows.shape) for rows in flat]
    ranks1, ranks2 = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread = np.sqrt((ranks1**2).sum(axis=1) * (ranks2**2).sum(axis=1))
    covariance = (ranks1 * ranks2).sum(axis=1)
    rho = np.divide(covariance, spread, out=np.full(len(spread), np.nan), where=spread > 0)
    return np.asarray(rho)


def sanity_check_table(boxed: BoxedPairs, similarity: pd.DataFrame) -> pd.DataFrame:
    """Average the similarity of maps with trained and with random weights.

    Args:
        boxed: the boxed pairs.
        similarity: see :func:`sanity_check_similarity`; of an ensemble, the rows of all its
            networks.

    Returns:
        randomized_layers, images, n_pairs (compared, of each network), n_constant (pairs left out,
        as a constant map has no order), similarity (mean ρ), absolute (mean |ρ|),
        similarity_threshold, unchanged (1 if ``absolute`` is above it), reason.
    """
    rows = []
    for layers, column in similarity.items():
        known = column.dropna()
        indices, values = known.index.to_numpy(), known.to_numpy(np.float64)[:, None]
        group, weights = np.full(len(known), "all"), boxed.weights[:, indices]
        value, *ends = (
            float(numbers[0, 0]) for numbers in means_by_finding(values, group, ["all"], weights)
        )
        few = too_few_patients({"": boxed.pairs["patient"].iloc[indices].nunique()})
        reason = NO_PAIRS if known.empty else f"no interval: {few}" if few else ""
        absolute = float(column.abs().mean())
        names = [f"similarity{end}" for end in ENDS]
        rows.append(
            {"randomized_layers": layers, "images": boxed.pairs["image"].iloc[indices].nunique()}
            | {"n_pairs": len(known), "n_constant": len(column) - len(known)}
            | dict(zip(names, [value, *([np.nan, np.nan] if few else ends)], strict=True))
            | {"absolute": absolute, "similarity_threshold": SIMILAR}
            | {"unchanged": int(absolute > SIMILAR), "reason": reason}
        )
    return pd.DataFrame(rows)
