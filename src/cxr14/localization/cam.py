"""Class activation maps: CAM, Grad-CAM, Grad-CAM++ and LayerCAM.

The backbone runs once per image, without gradients: every method needs only the transition
maps and the head.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cxr14.console import track
from cxr14.errors import UserError
from cxr14.models.inference import deterministic_inference, prepare

if TYPE_CHECKING:
    from cxr14.models.network import Network


# CAM (Zhou et al. 2016, arXiv 1512.04150).


def cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each map by the prediction layer's weight: Σ_k w_k A_k; no backward pass.

    Returns:
        (B, C, h, w), of either sign; the mean over space plus the bias is the logit.

    Raises:
        UserError: the network does not use average pooling.
    """
    if network.pooling != "avg":
        raise UserError(
            f"localize.method = cam is exact for model.pooling = avg only, and this network "
            f"pools with {network.pooling}; set localize.method to gradcam"
        )
    weights = network.prediction.weight.detach()[list(classes)]  # (C, T)
    return torch.einsum("ct,bthw->bchw", weights, maps.detach())  # equation 2


# Gradients of the logits by the transition maps.


def slopes(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Differentiate each class's logit by the maps, through the head only.

    All classes in one batched backward pass: on a CPU this takes a half to a quarter of the
    time of separate passes, with bit-identical results.

    Args:
        network: gives ``score(maps)``, in which images do not mix.
        maps: (B, T, h, w) transition maps; not modified.
        classes: C indices of the network's classes.

    Returns:
        (B, C, T, h, w): ∂logit/∂map.
    """
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.score(maps)[:, list(classes)]  # (B, C)
    # Row c selects the sum of logit c over the images.
    chosen = torch.eye(len(classes), dtype=logits.dtype, device=logits.device)
    chosen = chosen[:, None].expand(-1, len(maps), -1)  # (C, B, C)
    (slope,) = torch.autograd.grad(logits, maps, chosen, is_grads_batched=True)
    return slope.transpose(0, 1)


# Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).


def grad_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each map by the mean of its slope: ReLU(Σ_k α_k A_k), (B, C, h, w), not negative.

    For average pooling it equals ReLU(CAM) / (h·w); and for max and lse too, as over space the
    slopes of any of them add up to the weight w_k of the prediction.
    """
    weights = slopes(network, maps, classes).mean(dim=(3, 4), keepdim=True)  # equation 1
    return (weights * maps[:, None]).sum(dim=2).relu()  # equation 2


# Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063).


def grad_cam_pp(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each map by its positive slopes g: ReLU(Σ_k A_k Σ_ij α_ij ReLU(g_ij)).

    α = g² / (2g² + S·g³), S the sum of the map over space (equation 19, score = exp(logit)); the
    factor exp(logit), common to a heatmap, is left out. Only g > 0 counts, so g² is cancelled and
    nothing can be divided by zero. With g² ≈ 10⁻⁶, as average pooling has it, the small number that
    implementations add to the denominator instead would change the map.

    For average pooling the weight of a map is ReLU(w) / (2 + w · its mean).

    Returns:
        (B, C, h, w), not negative.
    """
    rising = slopes(network, maps, classes).relu()
    sums = maps.sum(dim=(2, 3), keepdim=True)[:, None]  # (B, 1, T, 1, 1), not negative
    weights = (rising / (2 + sums * rising)).sum(dim=(3, 4), keepdim=True)
    return (weights * maps[:, None]).sum(dim=2).relu()


# LayerCAM (Jiang et al. 2021, IEEE Transactions on Image Processing 30: 5875–5888).


def layer_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each pixel by its own positive slope: ReLU(Σ_k ReLU(g_k) A_k), (B, C, h, w).

    Nothing is averaged over space, so where pooling is uneven (max, lse) only the
    locations that the logit depends on are hot. For average pooling it is a CAM of the positive
    weights, / (h·w).
    """
    rising = slopes(network, maps, classes).relu()
    return (rising * maps[:, None]).sum(dim=2).relu()


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
    by default, the grid would be a single cell. Anatomy is then seven times as large as in its
    training.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (M,) which of them.
        classes: C indices of the network's classes.
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
    with deterministic_inference(network) as device, torch.no_grad():
        for start in track(range(0, len(rows), batch_size), f"heatmaps of {len(rows)} images"):
            batch = torch.from_numpy(images[rows[start : start + batch_size]]).to(device)
            maps = network.maps(prepare(batch, images.shape[-1]))
            grids.append(METHODS[method](network, maps, classes).float().cpu().numpy())
    return np.concatenate(grids) if grids else np.zeros((0, len(classes), 1, 1), np.float32)


def upsampled(grids: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Upsample (M, h, w) bilinearly, corners not aligned, to (M, size, size) float32."""
    maps = F.interpolate(
        torch.from_numpy(grids)[:, None], (size, size), mode="bilinear", align_corners=False
    )
    return np.asarray(maps[:, 0].numpy())
