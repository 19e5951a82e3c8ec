"""A backbone split behind its deepest layer of a stride."""

import pytest
import torch

from cxr14.models.backbones import STUDIED, build_features
from cxr14.models.maps import layers_up_to

WIDTHS_AT_224 = {
    "alexnet": {2: None, 4: 55, 8: 27, 16: 13, 32: 6},
    "googlenet": {2: 112, 4: 56, 8: 28, 16: 14, 32: 7},
    "vgg16": {2: 112, 4: 56, 8: 28, 16: 14, 32: 7},
    "resnet50": {2: 112, 4: 56, 8: 28, 16: 14, 32: 7},
    "densenet121": {2: 112, 4: 56, 8: 28, 16: 14, 32: 7},
}
"""Pixels per side of the maps of the deepest layer, by its stride; None: there is no such layer."""


@pytest.mark.parametrize("name", STUDIED)
def test_the_layers_have_the_grid_of_their_stride_and_the_rest_leads_to_the_same_maps(name):
    torch.manual_seed(0)
    features = build_features(name)[0].eval()
    images = torch.rand(1, 3, 224, 224)
    widths = {}
    with torch.inference_mode():
        maps = features(images)
        for stride in WIDTHS_AT_224[name]:
            first, rest = layers_up_to(features, stride)
            fine = first(images) if len(first) else None
            widths[stride] = None if fine is None else fine.shape[-1]
            assert torch.equal(rest(images if fine is None else fine), maps)
    assert widths == WIDTHS_AT_224[name]


@pytest.mark.parametrize(
    ("name", "stride", "channels"),
    [("resnet50", 4, 256), ("resnet50", 8, 512), ("vgg16", 4, 256), ("densenet121", 4, 256)],
)
def test_the_layer_is_the_deepest_of_its_stride(undrawn, name, stride, channels):
    """The whole stage: ResNet-50's first has 64 channels at its start and 256 at its end."""
    first, _ = layers_up_to(build_features(name)[0].eval(), stride)
    assert first(torch.rand(1, 3, 64, 64)).shape[1] == channels


def test_both_parts_share_the_weights_of_the_backbone(undrawn):
    features = build_features("alexnet")[0]
    parts = layers_up_to(features, 8)
    shared = [parameter for part in parts for parameter in part.parameters()]
    assert list(map(id, shared)) == list(map(id, features.parameters()))


def test_with_dilation_the_deepest_layer_of_stride_16_is_the_last(undrawn):
    features = build_features("resnet50", output_stride=16)[0]
    _, rest = layers_up_to(features, 16)
    assert not len(rest)


def test_a_transformer_cannot_be_split_within(undrawn):
    features = build_features("vit_b_16")[0]
    assert [len(part) for part in layers_up_to(features, 8)] == [0, 1]
    assert [len(part) for part in layers_up_to(features, 16)] == [1, 0]


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_maps_of_a_layer_have_channels_first_also_where_the_network_puts_them_last(undrawn, stride):
    """Swin's blocks compute with (B, h, w, C): summing over the wrong axis gave maps of 56 × 96."""
    first, _ = layers_up_to(build_features("swin_t")[0].eval(), stride)
    _, _, height, width = first(torch.rand(1, 3, 224, 224)).shape
    assert height == width == 224 // 4


def test_splitting_leaves_every_module_in_its_mode(undrawn):
    """Left in training mode, batch normalization mixed the pairs: heat was off by a third."""
    features = build_features("resnet50")[0].eval()
    features.get_submodule("layer1").train()
    before = {name: module.training for name, module in features.named_modules()}
    layers_up_to(features, 8)
    assert {name: module.training for name, module in features.named_modules()} == before


def test_the_rescaling_of_the_images_is_no_layer(undrawn):
    features = build_features("googlenet")[0]
    first, rest = layers_up_to(features, 1)
    assert not len(first)
    assert rest[0] is features[0]
