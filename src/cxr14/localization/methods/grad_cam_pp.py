"""Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from cxr14.localization.methods.slopes import slopes

if TYPE_CHECKING:
    from cxr14.models.network import Network


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
