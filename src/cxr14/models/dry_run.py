"""The shape of a network's maps, found by running it without numbers (on torch's meta device)."""

import torch
from torch import nn
from torch.func import functional_call


def map_shape(features: nn.Module, size: int) -> tuple[int, int, int]:
    """Return the shape of the maps of one image; neither weights nor random state are touched.

    Args:
        features: images float (B, 3, s, s) to maps (B, C, h, w).
        size: pixels per side, s.

    Returns:
        C, h, w.

    Raises:
        RuntimeError: the network cannot take images of this size, or gives no such maps.
    """
    state = {**dict(features.named_parameters()), **dict(features.named_buffers())}
    weightless = {name: tensor.to("meta") for name, tensor in state.items()}
    image = torch.empty(1, 3, size, size, device="meta")
    was_training = features.training
    try:
        with torch.no_grad():
            maps = functional_call(features.eval(), weightless, image)
    finally:
        features.train(was_training)
    if maps.ndim != 4 or 0 in maps.shape:
        raise RuntimeError(f"maps of shape {tuple(maps.shape)}")
    _, channels, height, width = maps.shape
    return channels, height, width
