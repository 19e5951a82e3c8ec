"""A grid twice as fine from the same weights: the last stride becomes dilation.

The algorithme à trous (Holschneider et al. 1989; Chen et al. 2018, "DeepLab", arXiv 1606.00915,
section 3.1): the layers that halve the grid for the last time step by one pixel, and whatever
follows them looks at every other pixel. The maps at even rows and columns stay what they were,
and those between are new. (Not quite so in networks that average over the whole grid on the way,
as squeeze-and-excitation does.) For ResNet it is torchvision's ``replace_stride_with_dilation``.
"""

import math
from functools import partial
from typing import Any

from torch import Tensor, nn

from cxr14.models.dry_run import map_shape

WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
SIZE = 224


def refine(features: nn.Module) -> None:
    """Double the grid of a network's maps, in place, unless it has 16 pixels to one already.

    Weights and their names stay.

    Raises:
        RuntimeError: dilating convolutions and poolings does not do it for this network.
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
    handles = [layer.register_forward_hook(partial(note, name)) for name, layer in layers]
    try:
        return grids, map_shape(features, SIZE)[2]
    finally:
        for handle in handles:
            handle.remove()


def _stop_striding(features: nn.Module, name: str) -> None:
    layer: Any = features.get_submodule(name)
    if isinstance(layer, nn.Conv2d):
        layer.stride = (1, 1)
        return
    # A pooling without a border leaves out the last row: it gets one, and the first is cut off
    # again, so that each window begins where it began.
    layer.stride, layer.padding, layer.count_include_pad = 1, 1, False
    _replace(features, name, layer, nn.ZeroPad2d((-1, 0, -1, 0)))


def _dilate(features: nn.Module, name: str) -> None:
    layer: Any = features.get_submodule(name)
    if isinstance(layer, nn.AvgPool2d):
        raise RuntimeError("torch has no dilated average")
    if isinstance(layer, nn.MaxPool2d):  # it pads by half of its kernel at most, hence a layer
        side: Any = layer.padding
        layer.dilation, layer.padding = 2, 0
        _replace(features, name, nn.ConstantPad2d(2 * side, -math.inf), layer)
    elif max(layer.kernel_size) > 1:
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * side for side in layer.padding)


def _replace(features: nn.Module, name: str, *layers: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(features.get_submodule(parent), own, nn.Sequential(*layers))
