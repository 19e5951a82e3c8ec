"""A vision transformer as a source of maps, for images of any size."""

from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer


class TokenMaps(nn.Module):
    """Torchvision's VisionTransformer without its head: each patch's token is a pixel of the maps.

    The class token takes part in attention and is dropped at the end. The position embeddings of
    the size that the network was made for are interpolated to that of the images, as torchvision
    does it (``interpolate_embeddings``: bicubic, corners aligned); at their own size the tokens
    are torchvision's.
    """

    def __init__(self, transformer: VisionTransformer) -> None:
        super().__init__()
        self.conv_proj: nn.Module = transformer.conv_proj
        self.class_token: nn.Parameter = transformer.class_token
        self.encoder: Any = transformer.encoder

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, 3, s, s) into maps (B, C, s // p, s // p), p pixels being a patch."""
        patches = self.conv_proj(images)
        batch, _, height, width = patches.shape
        first = self.class_token.expand(batch, -1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)  # (B, 1 + h·w, C)
        encoder = self.encoder
        placed = encoder.dropout(tokens + self._positions(height, width))
        seen: Tensor = encoder.ln(encoder.layers(placed))
        return seen[:, 1:].transpose(1, 2).reshape(batch, -1, height, width)

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the embedding of the class token and of every patch, (1, 1 + h·w, C)."""
        positions: Tensor = self.encoder.pos_embedding
        side = isqrt(positions.shape[1] - 1)
        if (height, width) == (side, side):
            return positions
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = F.interpolate(grid, (height, width), mode="bicubic", align_corners=True)
        return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
