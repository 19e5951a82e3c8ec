"""Torchvision's networks up to their last feature maps."""

import pytest
import torch

from cxr14.models.backbones import BACKBONES, HalfRange, build_classifier, check_backbone
from cxr14.models.inputs import prepare
from cxr14.models.network import build_network

GRID = dict.fromkeys(BACKBONES, 7) | {"alexnet": 6}


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_at_224_px_have_the_published_grid_and_lead_to_fifteen_logits(name):
    network = build_network(name, 4, "avg", 10.0, seed=0).eval()
    with torch.inference_mode():
        features = network.features(torch.rand(1, 3, 224, 224))
        maps = network.head.transition(features)
        logits = network.score(maps)
    assert features.shape == (1, BACKBONES[name].channels, GRID[name], GRID[name])
    assert maps.shape == (1, 4, GRID[name], GRID[name])
    assert maps.min() >= 0
    assert logits.shape == (1, 15)
    assert logits.isfinite().all()


def test_googlenet_sees_images_between_minus_one_and_one():
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    seen = HalfRange()(prepare(grey, 16))
    expected = (grey / 127.5 - 1).expand(1, 3, 16, 16)
    assert torch.allclose(seen, expected, atol=1e-6)


def test_half_range_comes_first_in_googlenet_and_nowhere_else():
    for name in ("googlenet", "densenet121"):
        _, features = build_classifier(name)
        inside = [isinstance(module, HalfRange) for module in features.modules()]
        assert sum(inside) == (name == "googlenet")
    assert isinstance(next(build_classifier("googlenet")[1].children()), HalfRange)


def test_the_features_of_densenet_end_in_a_relu():
    _, features = build_classifier("densenet121")
    with torch.inference_mode():
        assert features.eval()(torch.randn(1, 3, 32, 32)).min() == 0


def test_features_share_their_weights_with_the_whole_network():
    classifier, features = build_classifier("googlenet")
    whole = {id(parameter) for parameter in classifier.parameters()}
    assert {id(parameter) for parameter in features.parameters()} <= whole


def test_an_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown backbone 'vit'; known: alexnet, googlenet"):
        check_backbone("vit")
