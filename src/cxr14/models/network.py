"""A backbone with the head on it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cxr14.findings import CLASSES
from cxr14.models.backbones import build_features
from cxr14.models.head import Head


class Network(nn.Module):
    """Normalised images to a logit per class, with the maps in between at hand for heatmaps."""

    def __init__(
        self,
        backbone: str,
        transition_channels: int,
        pooling: str,
        lse_r: float = 10.0,
        output_stride: int = 32,
        classes: Sequence[str] = CLASSES,
    ) -> None:
        super().__init__()
        self.backbone, self.classes = backbone, tuple(classes)
        self.features, channels = build_features(backbone, output_stride)
        self.head = Head(channels, transition_channels, pooling, lse_r, len(classes))

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
) -> Network:
    """Build a freshly initialised network; the global random state is left as it was.

    Args:
        backbone: a name that cxr14.models.backbones.check_backbone knows.
        transition_channels: uniform number of channels after the transition.
        pooling: avg, max or lse.
        lse_r: sharpness of lse pooling.
        seed: of the initial weights.
        output_stride: 32, or 16 for maps twice as fine from the same weights.
        classes: C names of the outputs, in their order.

    Raises:
        UserError: the backbone is unknown or cannot carry the head, or not at this stride.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(backbone, transition_channels, pooling, lse_r, output_stride, classes)
