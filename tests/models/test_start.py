"""The start of networks without normalisation layers."""

import pytest
import torch
from torch import nn

from cxr14.models.network import build_network
from cxr14.models.pretrained import has_normalization, initialize_lsuv


@pytest.mark.parametrize(
    ("name", "expected"), [("alexnet", False), ("vgg16", False), ("resnet50", True)]
)
def test_only_plain_networks_lack_normalisation(name, expected):
    assert has_normalization(build_network(name, 8, "avg", 10.0, seed=0).features) is expected


def test_afterwards_every_channel_of_every_convolution_has_mean_zero_and_variance_one():
    features = build_network("vgg16", 8, "avg", 10.0, seed=0).features
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    initialize_lsuv(features, images)
    seen: list[torch.Tensor] = []
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, maps: seen.append(maps.clone()))
    with torch.no_grad():
        features.eval()(images)
    assert len(seen) == 13
    for maps in seen:
        assert maps.mean(dim=(0, 2, 3)).abs().max() < 1e-3
        assert (maps.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


def test_images_that_the_default_start_makes_alike_stay_apart():
    """The reason for it: VGG-16's loss did not move for 250 steps of the default start."""

    def likeness(balanced: bool) -> float:
        network = build_network("vgg16", 8, "avg", 10.0, seed=0)
        images = torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        if balanced:
            initialize_lsuv(network.features, images)
        with torch.no_grad():
            flat = nn.functional.normalize(network.features.eval()(images).flatten(1))
        return float((flat @ flat.T)[~torch.eye(16, dtype=torch.bool)].mean())

    assert likeness(balanced=False) > 0.99
    assert likeness(balanced=True) < 0.8


def test_the_mode_of_the_network_is_left_as_it_was():
    features = build_network("alexnet", 8, "avg", 10.0, seed=0).features.train()
    initialize_lsuv(features, torch.rand(4, 3, 64, 64))
    assert features.training
