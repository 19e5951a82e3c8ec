"""Maps twice as fine from the same weights."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from cxr14.models.backbones import STUDIED, build_features
from cxr14.models.maps import map_shape, refine
from cxr14.models.network import build_network

EXACT = (*STUDIED, "resnet18", "regnet_x_400mf", "mobilenet_v2", "shufflenet_v2_x0_5")


def both(name):
    """A backbone at stride 32, and at 16 with its weights."""
    coarse, _ = build_features(name)
    fine = deepcopy(coarse)
    refine(fine)
    return coarse.eval(), fine.eval()


@pytest.mark.parametrize("name", EXACT)
def test_every_other_pixel_of_the_fine_maps_is_the_coarse_map(name):
    """The algorithme à trous, to the very border."""
    coarse, fine = both(name)
    torch.manual_seed(1)
    for module in coarse.modules():  # far from their start, at which many maps are nearly empty
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = 1.0
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        coarse.train()(images)
        fine.load_state_dict(coarse.state_dict())  # strict: no name is added or lost
        expected, found = coarse.eval()(images), fine(images)
    side = expected.shape[-1]
    assert found.shape[-1] == 2 * side
    assert expected.std() > 1e-3
    assert torch.allclose(found[..., ::2, ::2], expected, atol=1e-4 * float(expected.abs().max()))
    assert not torch.allclose(found[..., 1::2, 1::2], expected, atol=0.01 * float(expected.std()))


@pytest.mark.parametrize("name", STUDIED)
def test_the_grid_at_224_px_is_doubled(name, undrawn):
    side = 6 if name == "alexnet" else 7
    for stride, grid in ((32, side), (16, 2 * side)):
        features, channels = build_features(name, stride)
        assert map_shape(features, 224) == (channels, grid, grid)


def test_for_resnet_it_is_what_torchvision_calls_replacing_stride_with_dilation():
    _, fine = both("resnet50")
    theirs = resnet50(replace_stride_with_dilation=[False, False, True])
    theirs.fc, theirs.avgpool = nn.Identity(), nn.Identity()
    theirs.load_state_dict(fine.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(fine(images).flatten(1), theirs.eval()(images))


@pytest.mark.parametrize("name", ["efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small"])
def test_other_convolutional_networks_are_doubled_too(name, undrawn):
    assert map_shape(build_features(name, 16)[0], 224)[1] == 14


@pytest.mark.parametrize(("name", "grid"), [("squeezenet1_1", 13), ("vit_b_16", 14)])
def test_a_network_that_is_as_fine_already_stays_as_it_is(name, grid, undrawn):
    coarse, fine = build_features(name)[0], build_features(name, 16)[0]
    assert repr(coarse) == repr(fine)
    assert map_shape(fine, 224)[1] == grid


@pytest.mark.parametrize("name", ["convnext_tiny", "inception_v3", "swin_t", "vit_b_32"])
def test_a_network_that_cannot_be_doubled_is_refused_with_those_that_can(name, undrawn):
    sentence = (
        rf"^model\.output_stride: {name} allows 32 only; 16 goes with alexnet, .*Inception v3$"
    )
    with pytest.raises(ValueError, match=sentence):
        build_features(name, 16)


def test_the_same_seed_gives_the_same_weights_at_either_stride():
    coarse = build_network("googlenet", 8, "avg", 10.0, seed=1).state_dict()
    fine = build_network("googlenet", 8, "avg", 10.0, seed=1, output_stride=16).state_dict()
    assert list(coarse) == list(fine)
    assert all(torch.equal(coarse[name], fine[name]) for name in coarse)
