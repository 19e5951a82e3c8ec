"""Predictions of a network for held-out images.

torch is imported inside :func:`predict_views`: measures of given logits do not need it.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.console import track
from cxr14.errors import UserError
from cxr14.evaluation.predictions import HELD_OUT

if TYPE_CHECKING:
    from torch import Tensor

    from cxr14.models.network import Network


def held_out(index: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the validation and test images that have pixels.

    Args:
        index: data/cache/index.parquet (row, image, …).
        split: data/split/split.parquet (image, split, …).

    Returns:
        Columns row (of the cache), image, split; sorted by image.

    Raises:
        UserError: the cache holds an image that is not in the split.
    """
    table = index[["row", "image"]].merge(split[["image", "split"]], on="image", how="left")
    stray = table.loc[table["split"].isna(), "image"]
    if len(stray):
        raise UserError(
            f"data/cache/index.parquet: {len(stray)} image(s) are not in "
            f"data/split/split.parquet, first {stray.iloc[0]}; run dvc repro"
        )
    return table[table["split"].isin(HELD_OUT)].sort_values("image", ignore_index=True)


def predict_logits(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    input_size: int,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """Run the network over cached images; see :func:`predict_views`.

    Returns:
        (M, C) float32 logits in the order of the network's classes.
    """
    alone = predict_views(network, images, rows, input_size, batch_size)
    logits: npt.NDArray[np.float32] = alone[0]
    return logits


def predict_views(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    input_size: int,
    batch_size: int,
    views: "Tensor | None" = None,
) -> npt.NDArray[np.float32]:
    """Run the network over cached images, on the GPU if there is one, in full float32.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (M,) which of them, in this order.
        input_size: side in pixels at which the network was trained.
        batch_size: images per forward pass.
        views: changes (V, 7) of cxr14.training.augment.views, for test-time augmentation.

    Returns:
        (1 + V, M, C) float32 logits, of the images themselves and of each view, in the order of
        the network's classes.
    """
    import torch

    from cxr14.models.inference import deterministic_inference
    from cxr14.training.augment import NO_VIEWS, view_inputs
    from cxr14.training.dataset import Streamed

    views = NO_VIEWS if views is None else views
    logits = np.empty((1 + len(views), len(rows), len(network.classes)), np.float32)
    starts = range(0, len(rows), batch_size)
    with deterministic_inference(network) as device, torch.inference_mode():
        batches = Streamed(images, rows, device).batches(torch.arange(len(rows)), batch_size)
        progress = track(starts, f"predict {len(rows)} images")
        for start, batch in zip(progress, batches, strict=True):
            for view, inputs in enumerate(view_inputs(batch, input_size, views.to(device))):
                output = network(inputs)
                logits[view, start : start + batch_size] = output.float().cpu().numpy()
    return logits
