"""Heatmaps of findings from a network's own maps.

The backbone runs once per image, without gradients: every method needs only the transition
maps and what the head makes of them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from cxr14.errors import UserError
from cxr14.localization.methods.cam import cam
from cxr14.localization.methods.grad_cam import grad_cam
from cxr14.localization.methods.grad_cam_pp import grad_cam_pp
from cxr14.localization.methods.layer_cam import layer_cam
from cxr14.models.inference import answering
from cxr14.models.inputs import prepare

if TYPE_CHECKING:
    from cxr14.models.network import Network

Method = Callable[["Network", Tensor, Sequence[int]], Tensor]

METHODS: Final[dict[str, Method]] = {
    "gradcam": grad_cam,
    "cam": cam,
    "gradcam_pp": grad_cam_pp,
    "layercam": layer_cam,
}


def heat_grids(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    classes: Sequence[int],
    method: str,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """Compute heatmaps at the resolution of the network's grid.

    Images enter at cache resolution, whatever size the network was trained at: at 32 px, VGG-16's
    by default, the grid would be a single cell. What such a network sees is then seven times as
    large as what it learnt from.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (M,) which of them.
        classes: C positions among the network's.
        method: one of :data:`METHODS`.
        batch_size: images per forward pass.

    Returns:
        (M, C, h, w) float32, unscaled; not negative but for cam.

    Raises:
        UserError: the method does not fit the network, or the network is being trained.
    """
    if network.training:
        raise UserError("heatmaps need a network in evaluation mode; call network.eval() first")
    grids = []
    with answering(network) as device, torch.no_grad():
        for start in track(range(0, len(rows), batch_size), f"heatmaps of {len(rows)} images"):
            batch = torch.from_numpy(images[rows[start : start + batch_size]]).to(device)
            maps = network.maps(prepare(batch, images.shape[-1]))
            grids.append(METHODS[method](network, maps, classes).float().cpu().numpy())
    return np.concatenate(grids) if grids else np.zeros((0, len(classes), 1, 1), np.float32)


def upsampled(grids: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Upsample (M, h, w) bilinearly, corners not aligned, to (M, size, size) float32."""
    wide = F.interpolate(
        torch.from_numpy(grids)[:, None], (size, size), mode="bilinear", align_corners=False
    )
    return np.asarray(wide[:, 0].numpy())
