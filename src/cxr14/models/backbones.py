"""Torchvision's classification networks without their poolings and fully connected layers.

Allowed are the names in ``torchvision.models.list_models(module=torchvision.models)`` whose
networks give maps for images of any size, and timm's (:mod:`cxr14.models.timm_backbones`). Maps of
the default ones at 224 px, by `model.output_stride`:

    backbone      channels   32    16
    alexnet            256  6×6  12×12
    googlenet         1024  7×7  14×14
    vgg16              512  7×7  14×14
    resnet50          2048  7×7  14×14
    densenet121       1024  7×7  14×14

The channels are inferred from shapes. A vision transformer gives a pixel per patch.
"""

from difflib import get_close_matches
from typing import Any

from torch import nn

from cxr14.errors import UserError, quote
from cxr14.labels import STUDIED as STUDIED
from cxr14.models.inference import HALF, MEAN, STD, Renormalization
from cxr14.models.maps import SIZE, TokenMaps, inference_size, map_shape, refine, replace_layer
from cxr14.models.published import Published, published
from cxr14.models.timm_backbones import (
    TimmMaps,
    build_timm,
    check_timm_name,
    default_weights,
    is_timm,
)
from cxr14.models.torchvision_import import (
    VisionTransformer,
    get_model,
    get_model_builder,
    get_model_weights,
    list_models,
    torchvision,
)

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


def check_backbone(name: str, key: str = "train.backbones") -> None:
    """Refuse names outside torchvision's classification networks and timm's.

    Args:
        name: name of the backbone.
        key: key or file of the name, for the error.

    Raises:
        UserError: the name is unknown; lists similar ones. Or timm is not installed.
    """
    if is_timm(name):
        return check_timm_name(name, key)
    known = list_models(module=torchvision.models)
    if name not in known:
        near = get_close_matches(name[:64], known, cutoff=0.5) or STUDIED
        raise UserError(
            f"{key}: unknown backbone {quote(name)}; near it: {', '.join(near)}; allowed: "
            f"the names in torchvision.models.list_models(module=torchvision.models)"
        )


def build_classifier(
    name: str, weights: str | None = None, output_stride: int = 32
) -> tuple[nn.Module, nn.Module]:
    """Return the network of torchvision or timm, freshly initialized, and its convolutional part.

    Both share their weights.

    Args:
        name: name of the backbone.
        weights: name of published weights, whose network takes other images.
        output_stride: other than 32 only for timm.

    Raises:
        UserError: the name is unknown.
        RuntimeError: timm does not allow the stride.
    """
    check_backbone(name)
    entry = published(weights) if weights else None
    return _build_timm(name, entry, output_stride) if is_timm(name) else _build(name, entry)


def _build_timm(
    name: str, entry: Published | None, output_stride: int
) -> tuple[nn.Module, nn.Module]:
    options = dict(entry.options) if entry else {}
    if output_stride != 32:
        options["output_stride"] = output_stride
    maps, expected = build_timm(name, options), entry or default_weights(name)
    if (expected.mean, expected.std) == (MEAN, STD):
        return maps.network, maps
    return maps.network, nn.Sequential(Renormalization(expected.mean, expected.std), maps)


def _build(name: str, entry: Published | None) -> tuple[nn.Module, nn.Module]:
    family = get_model_builder(name).__module__.rpartition(".")[2]
    arguments = ARGUMENTS.get(family, {})
    network = get_model(name, weights=None, **arguments)
    features = _features(network)
    if entry:
        _set_channels(network, len(entry.mean))
        return network, nn.Sequential(Renormalization(entry.mean, entry.std), features)
    # GoogLeNet and Inception v3 rescale their input, EfficientNet-V2-L expects it rescaled.
    published = next(iter(get_model_weights(name))).transforms.keywords
    if "transform_input" in arguments or published.get("mean") == (0.5, 0.5, 0.5):
        features = nn.Sequential(Renormalization(HALF, HALF), features)
    return network, features


def _set_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by one that takes images of so many channels."""
    layers = network.named_modules()
    name, layer = next((name, m) for name, m in layers if isinstance(m, nn.Conv2d))
    window: Any = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding")}
    has_bias = layer.bias is not None
    first = nn.Conv2d(channels, layer.out_channels, **window, bias=has_bias)
    replace_layer(network, name, first)


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


def build_features(
    name: str, output_stride: int = 32, weights: str | None = None
) -> tuple[nn.Module, int]:
    """Return the convolutional part of a backbone, freshly initialized, and its channels.

    Args:
        name: name of the backbone.
        output_stride: 32 for the unchanged network; 16 for maps with a stride of at most 16.
        weights: name of published weights, whose network takes other images.

    Raises:
        UserError: the backbone is unknown, gives no maps for images of any size, or does not allow
            the stride. Of timm's networks, images of one size suffice.
    """
    features = build_classifier(name, weights)[1]
    try:
        channels, height = _first_shape(features)
    except RuntimeError as error:
        no_maps = f"gives no maps ({error})" if is_timm(name) else ONE_SIZE
        raise UserError(
            f"train.backbones: {name} {no_maps}, "
            f"so the head does not fit it; choose another, such as {', '.join(STUDIED)}"
        ) from None
    try:
        if output_stride == 16 and is_timm(name):
            features = _refined_timm(features, name, weights, height)
        elif output_stride == 16:
            refine(features)
    except RuntimeError:
        raise UserError(
            f"model.output_stride: {name} allows 32 only; 16 goes with {', '.join(STUDIED)}, and "
            f"with torchvision's other convolutional networks save ConvNeXt and Inception v3"
        ) from None
    return features, channels


ONE_SIZE = "allows images of one size only and gives no maps for others"


def _first_shape(features: nn.Module) -> tuple[int, int]:
    """Infer channels and height of the maps at SIZE, or at the only size of a network of timm."""
    maps = next((m for m in features.modules() if isinstance(m, TimmMaps)), None)
    try:
        channels, height, _ = map_shape(features, SIZE)
    except RuntimeError:
        if maps is None:
            raise
        channels, height, _ = map_shape(features, maps.size)
    else:
        if maps is not None:
            maps.size = SIZE
    return channels, height


def _refined_timm(features: nn.Module, name: str, weights: str | None, height: int) -> nn.Module:
    """Return a network with a stride of at most 16, by timm's own dilation if necessary."""
    if inference_size(features) <= 16 * height:
        return features
    fine = build_classifier(name, weights, output_stride=16)[1]
    if _first_shape(fine)[1] != 2 * height:
        raise RuntimeError("its grid is not doubled by dilation")
    return fine


def check_input_size(features: nn.Module, name: str, size: int) -> None:
    """Refuse images of `size` pixels per side that are too small for any map, or do not suit.

    Raises:
        UserError: names the size and the backbone, and for timm the nearest size that suits.
    """
    if _suits(features, size):
        return
    if not is_timm(name):
        raise UserError(
            f"train.input_size: {size} px is too small for {name}; raise it, for all or in "
            f"train.overrides.{name}"
        )
    sizes = sorted(range(32, 1025, 2), key=lambda other: abs(other - size))
    near = next((other for other in sizes if _suits(features, other)), inference_size(features))
    raise UserError(
        f"train.input_size: {name} takes no images of {size} px; set {near}, for all or in "
        f"train.overrides.{name}"
    )


def _suits(features: nn.Module, size: int) -> bool:
    try:
        map_shape(features, size)
    except RuntimeError:
        return False
    return True
