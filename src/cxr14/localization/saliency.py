"""Heatmaps of findings from a network's own maps: Grad-CAM and CAM.

The backbone runs once per image, without gradients: both methods need only the transition
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

from cxr14.models.inputs import prepare

if TYPE_CHECKING:
    from cxr14.models.network import Network

Method = Callable[["Network", Tensor, Sequence[int]], Tensor]


def grad_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Grad-CAM: ReLU(Σ_k α_k A_k), α_k the mean over space of ∂logit/∂A_k.

    Selvaraju et al. 2017, equations 1 and 2. For average pooling it equals ReLU(CAM) / (h·w).

    Args:
        network: gives ``score(maps)``.
        maps: (B, T, h, w) transition maps.
        classes: C positions among the network's.

    Returns:
        (B, C, h, w), not negative.
    """
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.score(maps)  # (B, classes)
        heat = []
        for position in classes:
            # Images do not mix in the head, so one gradient of the sum serves the whole batch.
            (slope,) = torch.autograd.grad(logits[:, position].sum(), maps, retain_graph=True)
            weight = slope.mean(dim=(2, 3), keepdim=True)  # (B, T, 1, 1)
            heat.append((weight * maps.detach()).sum(dim=1).relu())
    return torch.stack(heat, dim=1)


def cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Class activation map: Σ_k w_k A_k with the prediction layer's weights w (Zhou et al. 2016).

    Args:
        network: with average pooling, for which alone the map sums up to the logit.
        maps: (B, T, h, w) transition maps.
        classes: C positions among the network's.

    Returns:
        (B, C, h, w); the mean over space plus the bias is the logit.

    Raises:
        ValueError: the network pools otherwise.
    """
    if network.pooling != "avg":
        raise ValueError(
            f"localize.method = cam is exact for model.pooling = avg only, and this network "
            f"pools with {network.pooling}; set localize.method to gradcam"
        )
    weights = network.prediction.weight.detach()[list(classes)]  # (C, T)
    return torch.einsum("ct,bthw->bchw", weights, maps.detach())


METHODS: Final[dict[str, Method]] = {"gradcam": grad_cam, "cam": cam}


def heat_grids(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    classes: Sequence[int],
    method: str,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """Compute heatmaps at the resolution of the network's grid.

    Images enter at cache resolution, whatever size the network was trained at: a finer grid.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (M,) which of them.
        classes: C positions among the network's.
        method: gradcam or cam.
        batch_size: images per forward pass.

    Returns:
        (M, C, h, w) float32.

    Raises:
        ValueError: the method does not fit the network.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device)
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    grids = []
    with torch.no_grad(), exact:
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
