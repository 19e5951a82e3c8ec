"""Maps of a backbone: shape, tokens as maps, finer maps by dilation, and maps of its layers."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxr14.models.inference import Renormalization
from cxr14.models.timm_backbones import TimmMaps
from cxr14.models.torchvision_import import VisionTransformer


def map_shape(features: nn.Module, size: int) -> tuple[int, int, int]:
    """Infer the shape of the maps of one image from those of an empty batch, which costs nothing.

    Not by the meta device: its convolution imports SymPy, which takes longer.

    Args:
        features: images float (B, 3, s, s) to maps (B, C, h, w).
        size: pixels per side, s.

    Returns:
        C, h, w.

    Raises:
        RuntimeError: the network does not allow images of this size, or gives no such maps.
    """
    weights = next(chain(features.parameters(), features.buffers()), torch.empty(0))
    modes = [(module, module.training) for module in features.modules()]
    try:
        # Not in inference mode: there tensors do not count changes (cxr14.models.timm_backbones).
        with torch.inference_mode(False), torch.no_grad():
            maps = _maps(features.eval(), size, weights.device)
    finally:
        for module, training in modes:
            module.training = training
    if maps.ndim != 4 or 0 in maps.shape[1:]:
        raise RuntimeError(f"maps of shape {tuple(maps.shape)}")
    _, channels, height, width = maps.shape
    return channels, height, width


def _maps(features: nn.Module, size: int, device: torch.device) -> Tensor:
    """Return the maps of an empty batch, or of one image if some layer refuses an empty one."""
    maps: Tensor
    try:
        try:
            maps = features(torch.empty(0, 3, size, size, device=device))
        except RuntimeError:
            maps = features(torch.zeros(1, 3, size, size, device=device))
    except (AssertionError, ValueError) as error:  # of timm, for a size that does not suit
        raise RuntimeError(str(error)) from None
    return maps


class TokenMaps(nn.Module):
    """Torchvision's VisionTransformer without its head: each patch's token is a pixel of the maps.

    The class token takes part in attention and is dropped at the end. For images of another size
    the position embeddings are interpolated as in torchvision's ``interpolate_embeddings``
    (bicubic, corners aligned).
    """

    def __init__(self, transformer: VisionTransformer) -> None:
        super().__init__()
        self.conv_proj: nn.Module = transformer.conv_proj
        self.class_token: nn.Parameter = transformer.class_token
        self.encoder: Any = transformer.encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (B, C, s // p, s // p) of images (B, 3, s, s); p is the patch size."""
        patches = self.conv_proj(images)
        batch, _, height, width = patches.shape
        class_token = self.class_token.expand(batch, -1, -1)
        tokens = torch.cat(
            [class_token, patches.flatten(2).transpose(1, 2)], dim=1
        )  # (B, 1 + h·w, C)
        encoder = self.encoder
        embedded = encoder.dropout(tokens + self._positions(height, width))
        outputs: Tensor = encoder.ln(encoder.layers(embedded))
        channels = outputs.shape[-1]
        return outputs[:, 1:].transpose(1, 2).reshape(batch, channels, height, width)

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the embedding of the class token and of every patch, (1, 1 + h·w, C)."""
        positions: Tensor = self.encoder.pos_embedding
        side = isqrt(positions.shape[1] - 1)
        if (height, width) == (side, side):
            return positions
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = F.interpolate(grid, (height, width), mode="bicubic", align_corners=True)
        return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


# Stride 16 from the same weights: the last stride becomes dilation (algorithme à trous,
# Holschneider et al. 1989; Chen et al. 2018, "DeepLab", arXiv 1606.00915, section 3.1). Values at
# even rows and columns are unchanged, except in networks that average over the grid (squeeze and
# excitation). For ResNet it equals torchvision's ``replace_stride_with_dilation``.

WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
SIZE = 224


def refine(features: nn.Module) -> None:
    """Double the grid of a network's maps, in place, unless its stride is 16 or less.

    Weights and their names are unchanged.

    Raises:
        RuntimeError: dilation does not double the grid of this network.
    """
    grids, final = _grids(features)
    stride = SIZE // (map_shape(features, 2 * SIZE)[1] - final)
    if stride <= 16:
        return
    for name, (before, after) in grids.items():
        if before > after == final:
            _stop_striding(features, name)
        elif before == final:
            _dilate(features, name)
    if map_shape(features, SIZE)[1] != 2 * final:
        raise RuntimeError("its grid is not doubled by dilation")


def _grids(features: nn.Module) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the widths of each windowed layer's input and output, and that of the maps."""
    grids: dict[str, tuple[int, int]] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Tensor], maps: Tensor) -> None:
        grids[name] = inputs[0].shape[-1], maps.shape[-1]

    layers = [item for item in features.named_modules() if isinstance(item[1], WINDOWED)]
    with _forward_hooks((layer, partial(note, name)) for name, layer in layers):
        return grids, map_shape(features, SIZE)[2]


Hook = Callable[[nn.Module, Any, Any], None]
"""Of a layer, its inputs and its output."""


@contextmanager
def _forward_hooks(hooks: Iterable[tuple[nn.Module, Hook]]) -> Iterator[None]:
    """Call a hook after each forward pass of its layer, within the block."""
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _stop_striding(features: nn.Module, name: str) -> None:
    layer: Any = features.get_submodule(name)
    if isinstance(layer, nn.Conv2d):
        layer.stride = (1, 1)
        return
    # A pooling without padding drops the last row. It is padded, and the first row is cropped, so
    # that each window starts at the same pixel.
    layer.stride, layer.padding, layer.count_include_pad = 1, 1, False
    replace_layer(features, name, layer, nn.ZeroPad2d((-1, 0, -1, 0)))


def _dilate(features: nn.Module, name: str) -> None:
    layer: Any = features.get_submodule(name)
    if isinstance(layer, nn.AvgPool2d):
        raise RuntimeError("torch has no dilated average")
    if isinstance(layer, nn.MaxPool2d):  # pads by at most half of its kernel, hence the layer
        side: Any = layer.padding
        layer.dilation, layer.padding = 2, 0
        replace_layer(features, name, nn.ConstantPad2d(2 * side, -math.inf), layer)
    elif max(layer.kernel_size) > 1:
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * side for side in layer.padding)


def replace_layer(features: nn.Module, name: str, *layers: nn.Module) -> None:
    """Replace a layer by one or several others, in place."""
    parent, _, child = name.rpartition(".")
    new = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
    setattr(features.get_submodule(parent), child, new)


def layers_up_to(features: nn.Module, stride: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Split a backbone behind its deepest layer of at most a stride.

    Args:
        features: images (B, 3, s, s) to maps.
        stride: pixels of the image per pixel of the layer's maps, to the next power of two at
            SIZE px: AlexNet's first layer has 55×55 maps at 224 px, so its stride is 4.

    Returns:
        The layers up to that one, none if all are coarser, and the rest; both share their weights.
    """
    size = inference_size(features)
    layers = [*in_sequence(features, size)]
    start = 1 if isinstance(layers[0], Renormalization) else 0  # of the images: no layer to map
    last = 0
    for count, (_, *grid) in enumerate(_shapes(layers, size), 1):
        # Blocks with the channels last, (B, h, w, C), or of tokens: no maps to weigh by channel.
        has_maps = len(grid) == 3 and grid[1] == grid[2] and count > start
        if has_maps and 2 ** round(math.log2(size / grid[1])) <= stride:
            last = count
    return nn.Sequential(*layers[:last]), nn.Sequential(*layers[last:])


def inference_size(features: nn.Module) -> int:
    """Return the size of images for shape inference; some of timm's networks take one alone."""
    return next((m.size for m in features.modules() if isinstance(m, TimmMaps)), SIZE)


def _shapes(layers: Sequence[nn.Module], size: int) -> list[torch.Size]:
    """Infer the shape of each layer's maps in one forward pass; the layers follow one another."""
    shapes: list[torch.Size] = []

    def note(_: nn.Module, __: tuple[Tensor], maps: Tensor) -> None:
        shapes.append(maps.shape)

    with _forward_hooks((layer, note) for layer in dict.fromkeys(layers)):
        map_shape(nn.Sequential(*layers), size)
    return shapes[-len(layers) :]  # the last pass, if an empty batch was refused


def in_sequence(module: nn.Module, size: int) -> Iterator[nn.Module]:
    """Yield the modules that a nested sequence applies one after the other."""
    children: Iterable[nn.Module] = module.children() if type(module) is nn.Sequential else [module]
    if isinstance(module, TimmMaps):
        children = module.layers(partial(map_shape, size=size))
    for child in children:
        if child is module:
            yield module
        else:
            yield from in_sequence(child, size)
