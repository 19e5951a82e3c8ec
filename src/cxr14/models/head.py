"""Transition, global pooling and prediction: the head of Wang et al. 2017, section 4.1."""

import torch
from torch import Tensor, nn

from cxr14.errors import UserError, quote

POOLINGS = ("avg", "max", "lse")


def pool(maps: Tensor, pooling: str, lse_r: float) -> Tensor:
    """Pool maps (B, C, h, w) over space to (B, C).

    ``lse`` is Wang's log-sum-exp pooling (their equation 1),
    ``1/r · log(mean(exp(r·x)))``: the mean for r → 0, the maximum for r → ∞. The maximum is
    taken out of the exponent, so large r·x do not overflow; and ones are taken out of exp and
    log, so small r·x are not rounded away.

    Raises:
        UserError: an unknown pooling.
    """
    flat = maps.flatten(2)  # (B, C, h·w)
    if flat.dtype == torch.bfloat16:
        flat = flat.float()  # the digits of r·x would be lost
    if pooling == "avg":
        return flat.mean(2)
    if pooling == "max":
        return flat.amax(2)
    if pooling == "lse":
        top = flat.detach().amax(2, keepdim=True)  # it cancels out, and so does its gradient
        excess = torch.expm1(lse_r * (flat - top)).mean(2)
        return top.squeeze(2) + torch.log1p(excess) / lse_r
    raise UserError(f"unknown pooling {quote(pooling)}; allowed: {', '.join(POOLINGS)}")


class Head(nn.Module):
    """Maps of any backbone, made uniform by a 1×1 convolution, pooled, and read out linearly."""

    def __init__(
        self, channels: int, transition_channels: int, pooling: str, lse_r: float, classes: int
    ) -> None:
        super().__init__()
        self.transition = nn.Sequential(
            nn.Conv2d(channels, transition_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(transition_channels),
            nn.ReLU(),
        )
        self.prediction = nn.Linear(transition_channels, classes)
        self.pooling = pooling
        self.lse_r = lse_r

    def score(self, maps: Tensor) -> Tensor:
        """Turn transition maps (B, T, h, w) into logits (B, C)."""
        logits: Tensor = self.prediction(pool(maps, self.pooling, self.lse_r))
        return logits
