"""The ensemble's saliency: the average of its members' maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr14.localization.detect import Grids
from cxr14.localization.maps import Maps
from cxr14.localization.saliency import upsampled

OWN_TOPS = "the average of maps, each by the top of its own network"


def averaged(several: Sequence[Maps]) -> Maps:
    """Average the heatmaps of K networks for the same pairs.

    The controls are those of the finest grid. Similarities under new weights keep a row for each
    network and pair: averaged here, opposite signs would cancel out before their size is taken.

    Args:
        several: by one method, of networks with the same classes; resamples drawn from equal
            generators.
    """
    finest = max(several, key=lambda maps: maps.own.shape[-1])
    mean = mean_grids([maps.own for maps in several])
    scale, fixed = finest.scale, (finest.scale["scaling"] == "fixed").any()
    if fixed:
        scale = scale.assign(top=np.nan, reason=OWN_TOPS)
    similarity = pd.concat([maps.similarity for maps in several])
    grids = finest.grids | {finest.method: mean}
    return finest._replace(grids=grids, scale=scale, similarity=similarity)


def mean_grids(grids: Sequence[Grids]) -> Grids:
    """Average grids; where they differ in size all are upsampled to the finest first.

    (At 224 px AlexNet's are 6 × 6, those of others 7 × 7.) Each network has the same say: a map
    is 0–1 by its own range, or 1 at the top of its own network (localize.scaling).

    Args:
        grids: K arrays (P, h, w), h = w, of the same P pairs in the same order.

    Returns:
        (P, H, W) float16 of the finest size.
    """
    size = max(own.shape[-1] for own in grids)
    wide = [own.astype(np.float32) for own in grids]
    same = [own if own.shape[-1] == size else upsampled(own, size) for own in wide]
    return np.asarray(np.mean(same, axis=0), np.float16)
