"""The network: a backbone and the classification head."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from cxr14.errors import UserError, quote
from cxr14.labels import CLASSES
from cxr14.models.backbones import build_features
from cxr14.models.maps import in_sequence, inference_size

POOLINGS = ("avg", "max", "lse")


def pool(maps: Tensor, pooling: str, lse_r: float) -> Tensor:
    """Pool maps (B, C, h, w) over space to (B, C).

    ``lse`` is Wang's log-sum-exp pooling (their equation 1),
    ``1/r · log(mean(exp(r·x)))``: the mean for r → 0, the maximum for r → ∞. Subtracting
    the maximum avoids overflow for large r·x; expm1 and log1p keep the digits of small r·x.

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
        top = flat.detach().amax(2, keepdim=True)  # cancels out, as does its gradient
        excess = torch.expm1(lse_r * (flat - top)).mean(2)
        return top.squeeze(2) + torch.log1p(excess) / lse_r
    raise UserError(f"unknown pooling {quote(pooling)}; allowed: {', '.join(POOLINGS)}")


class Head(nn.Module):
    """Head of Wang et al. 2017, section 4.1: transition, global pooling and linear prediction."""

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


def layers_with_weights(features: nn.Module) -> list[str]:
    """Name a backbone's layers that have weights, in the order of the forward pass.

    Nested sequences are flattened: a residual or inception block is one layer. A backbone that is
    no sequence, such as a vision transformer, is one layer, with the name "".
    """
    names = {module: name for name, module in features.named_modules()}
    layers = in_sequence(features, inference_size(features))
    return [names[layer] for layer in layers if any(True for _ in layer.parameters())]


def first_layers(features: nn.Module, backbone: str, count: int) -> list[str]:
    """Return the names of the first `count` layers with weights.

    Raises:
        UserError: the backbone has fewer; names the maximum.
    """
    names = layers_with_weights(features)
    if count > len(names):
        raise UserError(
            f"train.freeze is {count}, but {backbone} has {len(names)} layers with weights, which "
            f"`cxr14 layers {backbone}` lists; lower it, or set it to backbone"
        )
    return names[:count]


class Network(nn.Module):
    """Network from normalized images to a logit per class, with the maps for heatmaps.

    Attributes:
        frozen: names of the modules that stay in evaluation mode, see :meth:`freeze`.
    """

    def __init__(
        self,
        backbone: str,
        transition_channels: int,
        pooling: str,
        lse_r: float = 10.0,
        output_stride: int = 32,
        classes: Sequence[str] = CLASSES,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.classes, self.weights = backbone, tuple(classes), weights
        self.features, channels = build_features(backbone, output_stride, weights)
        self.head = Head(channels, transition_channels, pooling, lse_r, len(classes))
        self.frozen: list[str] = []

    def freeze(self, part: Literal["none", "backbone"] | int) -> None:
        """Exclude a part of the backbone from training.

        Its weights get no gradient. It stays in evaluation mode: batch normalization uses its
        running statistics and keeps them, and dropout is off.

        Args:
            part: nothing, the whole backbone, or its first layers with weights (from 1 on).

        Raises:
            UserError: the backbone has fewer layers.
        """
        if part == "none":
            return
        layers = [""] if part == "backbone" else first_layers(self.features, self.backbone, part)
        # Names, as the conversion to SyncBatchNorm replaces modules.
        self.frozen = [f"features.{name}".rstrip(".") for name in layers]
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules but the frozen ones."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    @property
    def pooling(self) -> str:
        """Name of the global pooling: avg, max or lse."""
        return self.head.pooling

    @property
    def prediction(self) -> nn.Linear:
        """The linear layer from pooled maps (B, T) to logits (B, C)."""
        return self.head.prediction

    def maps(self, images: Tensor) -> Tensor:
        """Turn normalised images (B, 3, s, s) into transition maps (B, T, h, w), not negative."""
        maps: Tensor = self.head.transition(self.features(images))
        return maps

    def score(self, maps: Tensor) -> Tensor:
        """Turn transition maps (B, T, h, w) into logits (B, C)."""
        return self.head.score(maps)

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalised images (B, 3, s, s) into logits (B, C)."""
        return self.score(self.maps(images))


def build_network(
    backbone: str,
    transition_channels: int,
    pooling: str,
    lse_r: float,
    seed: int,
    output_stride: int = 32,
    classes: Sequence[str] = CLASSES,
    weights: str | None = None,
) -> Network:
    """Build a freshly initialized network; the global random state is unchanged.

    Args:
        backbone: name of a backbone, see cxr14.models.backbones.check_backbone.
        transition_channels: uniform number of channels after the transition.
        pooling: avg, max or lse.
        lse_r: sharpness of lse pooling.
        seed: seed of the initial weights.
        output_stride: 32, or 16 for maps twice as fine from the same weights.
        classes: C names of the outputs, in their order.
        weights: name of published weights whose images the network takes; they are not loaded.

    Raises:
        UserError: the backbone is unknown, or does not fit the head or the stride.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = transition_channels, pooling, lse_r, output_stride
        return Network(backbone, *head, classes, weights)
