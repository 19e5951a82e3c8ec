"""All heatmaps that are scored: a network's, the controls', and those without what was learnt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.cases import Cases
from cxr14.localization.controls import control_grids
from cxr14.localization.detect import Grids, grids_of_pairs
from cxr14.localization.randomisation import randomised_similarity
from cxr14.localization.scale import heat_scale, tops_of

if TYPE_CHECKING:
    from cxr14.models.network import Network


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
