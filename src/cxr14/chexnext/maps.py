"""The ensemble's saliency: the average of its members' maps."""

from collections.abc import Sequence

import numpy as np

from cxr14.localization.detect import Grids
from cxr14.localization.saliency import upsampled


def mean_grids(grids: Sequence[Grids]) -> Grids:
    """Average the heatmaps of K networks.

    Each map is 0–1 before, so that every network has the same say. Where grids differ in size
    (AlexNet's are 6 × 6, others' 7 × 7 at 224 px) all are upsampled to the finest first.

    Args:
        grids: K arrays (P, h, w), h = w, of the same P pairs in the same order.

    Returns:
        (P, H, W) float16, 0–1, of the finest size; nothing is scaled anew.
    """
    size = max(own.shape[-1] for own in grids)
    same = [
        own.astype(np.float32)
        if own.shape[-1] == size or not len(own)
        else upsampled(own.astype(np.float32), size)
        for own in grids
    ]
    return np.asarray(np.mean(same, axis=0), np.float16)
