"""Any name of torchvision's: the head attaches, or one sentence says why not."""

import pytest
import torch
import torchvision
from torchvision.models import get_model_weights, list_models

from cxr14.models import backbones
from cxr14.models.backbones import (
    STUDIED,
    build_features,
    check_backbone,
    check_input_size,
)
from cxr14.models.inference import HALF, Renormalization, normalise
from cxr14.models.maps import map_shape
from cxr14.models.network import build_network

NAMES = list_models(module=torchvision.models)
REFUSED = {"maxvit_t"}
GRIDS = {
    "alexnet": 6,
    "inception_v3": 5,
    "squeezenet1_0": 13,
    "squeezenet1_1": 13,
    "vit_b_16": 14,
    "vit_h_14": 16,
    "vit_l_16": 14,
}
HALF_RANGE = {"googlenet", "inception_v3", "efficientnet_v2_l"}


@pytest.fixture
def shapes(undrawn, monkeypatch):
    """Every shape that a dry run finds."""
    found = []

    def noting(*arguments):
        found.append(map_shape(*arguments))
        return found[-1]

    monkeypatch.setattr(backbones, "map_shape", noting)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_torchvision_gives_maps_or_is_refused_in_one_sentence(name, shapes):
    if name in REFUSED:
        sentence = rf"^train\.backbones: {name} allows images of one size only .* densenet121$"
        with pytest.raises(ValueError, match=sentence):
            build_features(name)
        return
    features, channels = build_features(name)
    grid = GRIDS.get(name, 7)
    assert shapes == [(channels, grid, grid)]
    inside = [isinstance(module, Renormalization) for module in features.modules()]
    assert sum(inside) == (name in HALF_RANGE)


@pytest.mark.parametrize(
    ("name", "channels", "grid"),
    [
        ("convnext_tiny", 768, 2),
        ("efficientnet_v2_s", 1280, 2),
        ("swin_t", 768, 2),
    ],
)
def test_real_numbers_go_through_and_slopes_come_back(name, channels, grid):
    network = build_network(name, 4, "avg", 10.0, seed=1)
    features = network.features(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, channels, grid, grid)
    network.score(network.head.transition(features)).sum().backward()
    first = next(network.features.parameters()).grad
    assert first is not None
    assert first.isfinite().all()
    assert first.abs().sum() > 0


def test_those_seen_between_minus_one_and_one_are_those_whose_weights_expect_it():
    """EfficientNet-V2-L alone was trained on other statistics than ImageNet's."""
    other = {
        name
        for name in NAMES
        if next(iter(get_model_weights(name))).transforms().mean != [0.485, 0.456, 0.406]
    }
    assert other == {"efficientnet_v2_l"}


def test_the_range_is_changed_by_the_formula_and_leaves_no_trace_in_files_of_weights():
    change, grey = Renormalization(HALF, HALF), torch.linspace(0, 1, 12).view(1, 1, 3, 4)
    assert torch.allclose(change(normalise(grey)), (2 * grey - 1).expand(1, 3, 3, 4), atol=1e-6)
    assert not change.state_dict()


def test_a_dry_run_leaves_mode_weights_and_random_state_alone():
    features, _ = build_features("resnet18")
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    features[0].eval()
    state = torch.random.get_rng_state()
    assert map_shape(features, 64) == (512, 2, 2)
    assert features.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(features.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize(("name", "small", "enough"), [("alexnet", 32, 64), ("vit_b_16", 15, 16)])
def test_images_of_which_nothing_would_be_left_are_refused(name, small, enough, undrawn):
    features, _ = build_features(name)
    check_input_size(features, name, enough)
    with pytest.raises(
        ValueError, match=rf"^train\.input_size: {small} px is too small for {name}"
    ):
        check_input_size(features, name, small)


def test_an_unknown_backbone_is_refused_with_what_is_near_it():
    with pytest.raises(
        ValueError, match=r"^train\.backbones: unknown backbone 'vit_b'; near it: vit_"
    ):
        check_backbone("vit_b")
    with pytest.raises(
        ValueError, match=rf"^here: unknown .*near it: {', '.join(STUDIED)}; allowed"
    ):
        check_backbone("?", "here")
