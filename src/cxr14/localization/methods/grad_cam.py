"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from cxr14.localization.methods.slopes import slopes

if TYPE_CHECKING:
    from cxr14.models.network import Network


def grad_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each map by the mean of its slope: ReLU(Σ_k α_k A_k), (B, C, h, w), not negative.

    For average pooling it equals ReLU(CAM) / (h·w).
    """
    weights = slopes(network, maps, classes).mean(dim=(3, 4), keepdim=True)  # equation 1
    return (weights * maps[:, None]).sum(dim=2).relu()  # equation 2
