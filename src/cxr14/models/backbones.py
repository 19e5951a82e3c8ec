"""Torchvision's classification networks without their poolings and fully connected layers.

Allowed are the names in ``torchvision.models.list_models(module=torchvision.models)`` whose
networks give maps for images of any size. Maps of the default ones at 224 px, by
`model.output_stride`:

    backbone      channels   32    16
    alexnet            256  6×6  12×12
    googlenet         1024  7×7  14×14
    vgg16              512  7×7  14×14
    resnet50          2048  7×7  14×14
    densenet121       1024  7×7  14×14

The channels are inferred from shapes. A vision transformer gives a pixel per patch.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from itertools import chain
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxr14.errors import UserError, quote
from cxr14.labels import STUDIED as STUDIED
from cxr14.models.inference import MEAN, STD
from cxr14.models.torchvision_import import (
    VisionTransformer,
    get_model,
    get_model_builder,
    get_model_weights,
    list_models,
    torchvision,
)


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
        with torch.no_grad():
            maps = features.eval()(torch.empty(0, 3, size, size, device=weights.device))
    finally:
        for module, training in modes:
            module.training = training
    if maps.ndim != 4 or 0 in maps.shape[1:]:
        raise RuntimeError(f"maps of shape {tuple(maps.shape)}")
    _, channels, height, width = maps.shape
    return channels, height, width


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
    _replace(features, name, layer, nn.ZeroPad2d((-1, 0, -1, 0)))


def _dilate(features: nn.Module, name: str) -> None:
    layer: Any = features.get_submodule(name)
    if isinstance(layer, nn.AvgPool2d):
        raise RuntimeError("torch has no dilated average")
    if isinstance(layer, nn.MaxPool2d):  # pads by at most half of its kernel, hence the layer
        side: Any = layer.padding
        layer.dilation, layer.padding = 2, 0
        _replace(features, name, nn.ConstantPad2d(2 * side, -math.inf), layer)
    elif max(layer.kernel_size) > 1:
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * side for side in layer.padding)


def _replace(features: nn.Module, name: str, *layers: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(features.get_submodule(parent), child, nn.Sequential(*layers))


def layers_up_to(features: nn.Module, stride: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Split a backbone behind its deepest layer of at most a stride.

    Args:
        features: images (B, 3, s, s) to maps.
        stride: pixels of the image per pixel of the layer's maps, to the next power of two at
            SIZE px: AlexNet's first layer has 55×55 maps at 224 px, so its stride is 4.

    Returns:
        The layers up to that one, none if all are coarser, and the rest; both share their weights.
    """
    layers = [*in_sequence(features)]
    start = 1 if isinstance(layers[0], HalfRange) else 0  # rescales the images: no layer to map
    last = 0
    for count, (_, _, height, width) in enumerate(_shapes(layers), 1):
        # Swin's blocks have their channels last, (B, h, w, C): no maps to weigh by channel.
        has_maps = height == width and count > start
        if has_maps and 2 ** round(math.log2(SIZE / height)) <= stride:
            last = count
    return nn.Sequential(*layers[:last]), nn.Sequential(*layers[last:])


def _shapes(layers: Sequence[nn.Module]) -> list[torch.Size]:
    """Infer the shape of each layer's maps in one forward pass; the layers follow one another."""
    shapes: list[torch.Size] = []

    def note(_: nn.Module, __: tuple[Tensor], maps: Tensor) -> None:
        shapes.append(maps.shape)

    with _forward_hooks((layer, note) for layer in dict.fromkeys(layers)):
        map_shape(nn.Sequential(*layers), SIZE)
    return shapes


def in_sequence(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a nested sequence applies one after the other."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from in_sequence(child)
    else:
        yield module


AFTER_THE_MAPS = ("avgpool", "classifier", "fc")
"""Torchvision's names of the modules after the convolutional part."""

ONE_CLASSIFIER = {"aux_logits": False, "init_weights": False, "transform_input": False}

ARGUMENTS = {
    "googlenet": ONE_CLASSIFIER,
    "inception": ONE_CLASSIFIER,
    # Blocks start as the identity (Goyal et al. 2017): ResNet-50 from scratch, on phantoms, had a
    # macro AUROC of .650 instead of .586 after six epochs. Pretrained weights overwrite it.
    "resnet": {"zero_init_residual": True},
}
"""Arguments of the constructors of a family, by torchvision's module."""


class HalfRange(nn.Module):
    """The normalization (x − ½) / ½ that some weights expect, from ImageNet-normalized images.

    Mean and deviation are buffers, so that no step copies them to the GPU; they are not saved.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", MEAN), ("std", STD)):
            buffer = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Keep the shape (B, 3, s, s)."""
        return (images * self.std + self.mean - 0.5) / 0.5


def check_backbone(name: str, key: str = "train.backbones") -> None:
    """Refuse names outside torchvision's classification networks.

    Args:
        name: name of the backbone.
        key: key or file of the name, for the error.

    Raises:
        UserError: the name is unknown; lists similar ones.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        near = get_close_matches(name[:64], known, cutoff=0.5) or STUDIED
        raise UserError(
            f"{key}: unknown backbone {quote(name)}; near it: {', '.join(near)}; allowed: "
            f"the names in torchvision.models.list_models(module=torchvision.models)"
        )


def build_classifier(name: str) -> tuple[nn.Module, nn.Module]:
    """Return torchvision's network, freshly initialized, and its convolutional part.

    Both share their weights.
    """
    check_backbone(name)
    family = get_model_builder(name).__module__.rpartition(".")[2]
    arguments = ARGUMENTS.get(family, {})
    network = get_model(name, weights=None, **arguments)
    features = _features(network)
    # GoogLeNet and Inception v3 rescale their input, EfficientNet-V2-L expects it rescaled.
    published = next(iter(get_model_weights(name))).transforms.keywords
    if "transform_input" in arguments or published.get("mean") == (0.5, 0.5, 0.5):
        features = nn.Sequential(HalfRange(), features)
    return network, features


def _features(network: nn.Module) -> nn.Module:
    """Return the children before the global pooling or the classifier."""
    if isinstance(network, VisionTransformer):
        return TokenMaps(network)
    sequence = nn.Sequential()
    for name, child in network.named_children():
        if name in AFTER_THE_MAPS:
            break
        sequence.add_module(name, child)
    features = sequence[0] if len(sequence) == 1 else sequence
    assert isinstance(features, nn.Sequential)
    # DenseNet ends in a normalization; its ReLU is applied in the network's forward.
    ends_raw = isinstance(features[-1], nn.BatchNorm2d)
    return nn.Sequential(features, nn.ReLU()) if ends_raw else features


def build_features(name: str, output_stride: int = 32) -> tuple[nn.Module, int]:
    """Return the convolutional part of a backbone, freshly initialized, and its channels.

    Args:
        name: name of the backbone.
        output_stride: 32 for the unchanged network; 16 for maps with a stride of at most 16.

    Raises:
        UserError: the backbone is unknown, gives no maps for images of any size, or does not allow
            the stride.
    """
    features = build_classifier(name)[1]
    try:
        channels, _, _ = map_shape(features, SIZE)
    except RuntimeError:
        raise UserError(
            f"train.backbones: {name} allows images of one size only and gives no maps for others, "
            f"so the head does not fit it; choose another, such as {', '.join(STUDIED)}"
        ) from None
    try:
        if output_stride == 16:
            refine(features)
    except RuntimeError:
        raise UserError(
            f"model.output_stride: {name} allows 32 only; 16 goes with {', '.join(STUDIED)}, and "
            f"with torchvision's other convolutional networks save ConvNeXt and Inception v3"
        ) from None
    return features, channels


def check_input_size(features: nn.Module, name: str, size: int) -> None:
    """Refuse images of `size` pixels per side that are too small for any map.

    Raises:
        UserError: names the size and the backbone.
    """
    try:
        map_shape(features, size)
    except RuntimeError:
        raise UserError(
            f"train.input_size: {size} px is too small for {name}; raise it, for all or in "
            f"train.overrides.{name}"
        ) from None
