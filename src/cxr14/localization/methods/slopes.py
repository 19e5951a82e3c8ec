"""How the logits change with the transition maps: what all but CAM start from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cxr14.models.network import Network


def slopes(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Differentiate each class's logit by the maps, through the head only.

    All classes in one batched backward pass: on a CPU a half to a quarter of the time of a pass
    for each, and the same bits.

    Args:
        network: gives ``score(maps)``, in which images do not mix.
        maps: (B, T, h, w) transition maps; left as they are.
        classes: C positions among the network's.

    Returns:
        (B, C, T, h, w): ∂logit/∂map.
    """
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.score(maps)[:, list(classes)]  # (B, C)
    # Row c asks for the gradient of the sum of logit c over the images.
    chosen = torch.eye(len(classes), dtype=logits.dtype, device=logits.device)
    chosen = chosen[:, None].expand(-1, len(maps), -1)  # (C, B, C)
    (slope,) = torch.autograd.grad(logits, maps, chosen, is_grads_batched=True)
    return slope.transpose(0, 1)
