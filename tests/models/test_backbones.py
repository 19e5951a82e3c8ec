"""Torchvision's networks up to their last feature maps."""

import pytest
import torch
import torchvision

from cxr14.models.backbones import STUDIED, build_classifier
from cxr14.models.inference import HALF, Renormalization, prepare
from cxr14.models.network import build_network

CHANNELS = {
    "alexnet": 256,
    "googlenet": 1024,
    "vgg16": 512,
    "resnet50": 2048,
    "densenet121": 1024,
}
ARGUMENTS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "resnet50": {"zero_init_residual": True},
}
NAMES_IN_TORCHVISION = {"alexnet": "features.", "vgg16": "features.", "densenet121": "features."}
NAMES_HERE = {"densenet121": "0.", "googlenet": "1."}


@pytest.mark.parametrize("name", STUDIED)
def test_names_and_first_weights_are_those_of_torchvisions_network(name):
    """Saved models and seeds of earlier runs depend on both."""
    network = build_network(name, 4, "avg", 10.0, seed=3)
    torch.manual_seed(3)
    theirs = getattr(torchvision.models, name)(weights=None, **ARGUMENTS.get(name, {}))
    ours, before = network.features.state_dict(), NAMES_IN_TORCHVISION.get(name, "")
    expected = {
        NAMES_HERE.get(name, "") + key.removeprefix(before): value
        for key, value in theirs.state_dict().items()
        if key.startswith(before) and not key.startswith(("classifier.", "fc."))
    }
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", STUDIED)
def test_maps_at_224_px_have_the_published_grid_and_lead_to_fifteen_logits(name):
    network = build_network(name, 4, "avg", 10.0, seed=0).eval()
    with torch.inference_mode():
        features = network.features(torch.rand(1, 3, 224, 224))
        maps = network.head.transition(features)
        logits = network.score(maps)
    side = 6 if name == "alexnet" else 7
    assert features.shape == (1, CHANNELS[name], side, side)
    assert maps.shape == (1, 4, side, side)
    assert maps.min() >= 0
    assert logits.shape == (1, 15)
    assert logits.isfinite().all()


def test_googlenet_sees_images_between_minus_one_and_one():
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    seen = Renormalization(HALF, HALF)(prepare(grey, 16))
    expected = (grey / 127.5 - 1).expand(1, 3, 16, 16)
    assert torch.allclose(seen, expected, atol=1e-6)


def test_half_range_comes_first_in_googlenet_and_nowhere_else():
    for name in ("googlenet", "densenet121"):
        _, features = build_classifier(name)
        inside = [isinstance(module, Renormalization) for module in features.modules()]
        assert sum(inside) == (name == "googlenet")
    assert isinstance(next(build_classifier("googlenet")[1].children()), Renormalization)


def test_the_features_of_densenet_end_in_a_relu():
    _, features = build_classifier("densenet121")
    with torch.inference_mode():
        assert features.eval()(torch.randn(1, 3, 32, 32)).min() == 0


def test_features_share_their_weights_with_the_whole_network():
    classifier, features = build_classifier("googlenet")
    whole = {id(parameter) for parameter in classifier.parameters()}
    assert {id(parameter) for parameter in features.parameters()} <= whole
