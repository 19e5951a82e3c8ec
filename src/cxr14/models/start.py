"""A start from random weights for networks that have no normalisation layers of their own.

Krähenbühl et al. 2016, "Data-dependent Initializations of Convolutional Neural Networks" (arXiv
1511.06856), section 3.1: weights and bias of each convolution are scaled and shifted so that each
of its channels has mean 0 and variance 1 over some images. In a deep network without batch norm
all images otherwise look nearly alike to the last layer: VGG-16 took some 250 steps before its
loss moved at all.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISING = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def normalises(network: nn.Module) -> bool:
    """Whether any layer of a network normalises its maps."""
    return any(isinstance(module, NORMALISING) for module in network.modules())


@torch.no_grad()
def balance(features: nn.Module, images: Tensor) -> None:
    """Scale and shift the convolutions of a network, in place, from the first to the last.

    Args:
        features: convolutional part, freshly initialised; every convolution has a bias.
        images: normalised, float (B, 3, s, s); some dozens of the train part.
    """

    def balance_channels(layer: nn.Conv2d, _: Any, maps: Tensor) -> Tensor:
        assert layer.bias is not None
        mean, std = maps.mean(dim=(0, 2, 3)), maps.std(dim=(0, 2, 3))
        std = torch.where(std > 1e-6, std, 1.0)  # a channel that is dead on them stays as it is
        layer.weight.div_(std.view(-1, 1, 1, 1))
        layer.bias.sub_(mean).div_(std)
        return (maps - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)

    hook: Callable[..., Any] = balance_channels
    convolutions = [layer for layer in features.modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(hook) for layer in convolutions]
    was_training = features.training
    try:
        features.eval()(images)
    finally:
        features.train(was_training)
        for handle in handles:
            handle.remove()
