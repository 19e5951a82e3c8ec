"""Torchvision's classification networks without their poolings and fully connected layers.

Any name of ``torchvision.models.list_models(module=torchvision.models)`` will do that gives maps
for images of any size. Studied are five; their maps at 224 px, by `model.output_stride`:

    backbone      channels   32    16
    alexnet            256  6×6  12×12
    googlenet         1024  7×7  14×14
    vgg16              512  7×7  14×14
    resnet50          2048  7×7  14×14
    densenet121       1024  7×7  14×14

The channels of the others come from a dry run. A vision transformer gives a pixel per patch.
"""

from difflib import get_close_matches

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import (
    VisionTransformer,
    get_model,
    get_model_builder,
    get_model_weights,
    list_models,
)

from cxr14.errors import UserError, quote
from cxr14.models.dilation import SIZE, refine
from cxr14.models.dry_run import map_shape
from cxr14.models.inputs import MEAN, STD
from cxr14.models.tokens import TokenMaps
from cxr14.names import STUDIED as STUDIED

AFTER_THE_MAPS = ("avgpool", "classifier", "fc")
"""Torchvision's names of what follows the maps; the first of them ends the convolutional part."""

ONE_CLASSIFIER = {"aux_logits": False, "init_weights": False, "transform_input": False}

ARGUMENTS = {
    "googlenet": ONE_CLASSIFIER,
    "inception": ONE_CLASSIFIER,
    # Blocks that start as the identity (Goyal et al. 2017): ResNet-50 from scratch, on phantoms,
    # had a macro AUROC of .650 instead of .586 after six epochs. Pretrained weights overwrite it.
    "resnet": {"zero_init_residual": True},
}
"""What the constructors of a family need beside the name, by torchvision's module."""


class HalfRange(nn.Module):
    """The normalisation (x − ½) / ½ that some weights expect, from ImageNet-normalised images.

    Mean and deviation are buffers, as numbers sent in every step would let it wait for the GPU;
    they are in no file of weights.
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
    """Refuse what is no classification network of torchvision's.

    Args:
        name: of the backbone.
        key: where the name was read, for the error.

    Raises:
        UserError: the name is unknown; names the nearest known ones.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        near = get_close_matches(name[:64], known, cutoff=0.5) or STUDIED
        raise UserError(
            f"{key}: unknown backbone {quote(name)}; near it: {', '.join(near)}; allowed: "
            f"the names in torchvision.models.list_models(module=torchvision.models)"
        )


def build_classifier(name: str) -> tuple[nn.Module, nn.Module]:
    """Return torchvision's whole network, freshly initialised, and the part that makes the maps.

    Both share their weights: what is loaded into the first is in the second.
    """
    check_backbone(name)
    family = get_model_builder(name).__module__.rpartition(".")[2]
    arguments = ARGUMENTS.get(family, {})
    network = get_model(name, weights=None, **arguments)
    features = _features(network)
    # GoogLeNet and Inception v3 rescale what they get, EfficientNet-V2-L expects it so.
    published = next(iter(get_model_weights(name))).transforms.keywords
    if "transform_input" in arguments or published.get("mean") == (0.5, 0.5, 0.5):
        features = nn.Sequential(HalfRange(), features)
    return network, features


def _features(network: nn.Module) -> nn.Module:
    """Every child up to the global pooling or the classifier, in order; one alone as it is."""
    if isinstance(network, VisionTransformer):
        return TokenMaps(network)
    sequence = nn.Sequential()
    for name, child in network.named_children():
        if name in AFTER_THE_MAPS:
            break
        sequence.add_module(name, child)
    features = sequence[0] if len(sequence) == 1 else sequence
    assert isinstance(features, nn.Sequential)
    # DenseNet ends in a normalisation; its ReLU is applied in the forward of the whole.
    ends_raw = isinstance(features[-1], nn.BatchNorm2d)
    return nn.Sequential(features, nn.ReLU()) if ends_raw else features


def build_features(name: str, output_stride: int = 32) -> tuple[nn.Module, int]:
    """Return the part of a backbone that makes the maps, freshly initialised, and its channels.

    Args:
        name: of the backbone.
        output_stride: 32 for the network as it is; 16 for maps twice as fine where they would be
            coarser than a pixel per 16 of the image.

    Raises:
        UserError: the backbone is unknown, gives no maps for images of any size, or cannot be
            made finer.
    """
    features = build_classifier(name)[1]
    try:
        channels, _, _ = map_shape(features, SIZE)
    except RuntimeError:
        raise UserError(
            f"train.backbones: {name} is made for images of one size and gives no maps for others, "
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


def check_takes(features: nn.Module, name: str, size: int) -> None:
    """Refuse images, of `size` pixels per side, of which nothing would be left in the maps.

    Raises:
        UserError: naming the size and the backbone.
    """
    try:
        map_shape(features, size)
    except RuntimeError:
        raise UserError(
            f"train.input_size: {size} px is too small for {name}; raise it, for all or in "
            f"train.overrides.{name}"
        ) from None
