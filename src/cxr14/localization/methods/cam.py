"""CAM (Zhou et al. 2016, arXiv 1512.04150)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cxr14.errors import UserError

if TYPE_CHECKING:
    from cxr14.models.network import Network


def cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each map by the prediction layer's weight: Σ_k w_k A_k; no backward pass.

    Returns:
        (B, C, h, w), of either sign; the mean over space plus the bias is the logit.

    Raises:
        UserError: the network does not pool by the average, for which alone that holds.
    """
    if network.pooling != "avg":
        raise UserError(
            f"localize.method = cam is exact for model.pooling = avg only, and this network "
            f"pools with {network.pooling}; set localize.method to gradcam"
        )
    weights = network.prediction.weight.detach()[list(classes)]  # (C, T)
    return torch.einsum("ct,bthw->bchw", weights, maps.detach())  # equation 2
