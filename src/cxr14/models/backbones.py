"""Torchvision's networks without their fully connected layers.

Feature maps for 224 px: 7×7 (stride 32), AlexNet 6×6.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torchvision
from torch import Tensor, nn

from cxr14.models.inputs import MEAN, STD


@dataclass(frozen=True)
class Backbone:
    """How to get the convolutional part of one of torchvision's networks.

    Attributes:
        channels: of the last feature maps.
        features: takes the whole network, returns the part up to its last feature maps.
        weights: name of torchvision's weights enumeration for `model.weights: imagenet`.
        arguments: what the constructor needs beside its weights.
    """

    channels: int
    features: Callable[[nn.Module], nn.Module]
    weights: str
    arguments: Mapping[str, bool]


def _features(network: nn.Module) -> nn.Module:
    features = network.features
    assert isinstance(features, nn.Module)
    return features


def _densenet(network: nn.Module) -> nn.Module:
    """DenseNet's final ReLU is applied in its forward, in place: here it is a module."""
    return nn.Sequential(_features(network), nn.ReLU())


def _before_pooling(network: nn.Module) -> nn.Module:
    """Every child up to the global average pooling, in order."""
    sequence = nn.Sequential()
    for name, child in network.named_children():
        if name == "avgpool":
            break
        sequence.add_module(name, child)
    return sequence


class HalfRange(nn.Module):
    """GoogLeNet's own normalisation, (x − ½) / ½, from ImageNet-normalised images."""

    def forward(self, images: Tensor) -> Tensor:
        """Keep the shape (B, 3, s, s)."""
        mean = images.new_tensor(MEAN).view(1, 3, 1, 1)
        std = images.new_tensor(STD).view(1, 3, 1, 1)
        return (images * std + mean - 0.5) / 0.5


def _googlenet(network: nn.Module) -> nn.Module:
    return nn.Sequential(HalfRange(), _before_pooling(network))


BACKBONES: Mapping[str, Backbone] = {
    "alexnet": Backbone(256, _features, "AlexNet_Weights", {}),
    "googlenet": Backbone(
        1024,
        _googlenet,
        "GoogLeNet_Weights",
        {"aux_logits": False, "init_weights": False, "transform_input": False},
    ),
    "vgg16": Backbone(512, _features, "VGG16_Weights", {}),
    "resnet50": Backbone(
        # Blocks that start as the identity (Goyal et al. 2017): from scratch, on phantoms, macro
        # AUROC .650 instead of .586 after six epochs. Pretrained weights overwrite it.
        2048,
        _before_pooling,
        "ResNet50_Weights",
        {"zero_init_residual": True},
    ),
    "densenet121": Backbone(1024, _densenet, "DenseNet121_Weights", {}),
}


def check_backbone(name: str, key: str = "train.backbones") -> Backbone:
    """Return the description of a backbone; `key` is where the name was read, for the error.

    Raises:
        ValueError: the name is not one of BACKBONES.
    """
    if name not in BACKBONES:
        raise ValueError(f"{key}: unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def build_classifier(name: str) -> tuple[nn.Module, nn.Module]:
    """Return torchvision's whole network, freshly initialised, and its convolutional part.

    Both share their weights: what is loaded into the first is in the second.
    """
    backbone = check_backbone(name)
    network = torchvision.models.get_model(name, weights=None, **backbone.arguments)
    return network, backbone.features(network)


def build_features(name: str) -> tuple[nn.Module, int]:
    """Return the convolutional part of a backbone, freshly initialised, and its channels."""
    return build_classifier(name)[1], check_backbone(name).channels
