"""Networks of timm: ten families, and what is refused in one sentence."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.errors import UserError
from cxr14.localization.cam import SaliencySettings, raw_heatmaps
from cxr14.models import backbones, timm_backbones
from cxr14.models.backbones import build_features, check_backbone, check_input_size
from cxr14.models.inference import normalise
from cxr14.models.maps import layers_up_to, map_shape
from cxr14.models.network import build_network
from cxr14.models.serialization import load_model, save_model
from cxr14.models.timm_backbones import FeatureMaps, TimmMaps, build_timm, default_weights

HEAD = {"transition_channels": 4, "pooling": "avg", "lse_r": 10.0, "output_stride": 32}

# By name: pixels per side, channels, side of the maps, and of those at a stride of 4 (None: the
# network is not split there). The smallest members; two families are at a size that they take.
FAMILIES = {
    "resnet10t": (32, 512, 1, 8),  # ResNet-D: a deep stem, average pooling in the shortcuts
    "test_efficientnet": (64, 64, 2, 16),
    "convnextv2_atto": (32, 320, 1, 8),
    "swin_tiny_patch4_window7_224": (64, 192, 2, None),
    "test_maxvit": (160, 128, 5, 40),
    "test_vit": (64, 64, 4, None),
    "eva02_tiny_patch14_224": (28, 192, 2, None),
    "regnetx_002": (32, 368, 1, 8),
    "mobilenetv4_conv_small_035": (32, 336, 1, 8),
    "densenet121": (32, 1024, 1, 8),
}


@pytest.fixture
def small_swin(monkeypatch):
    """Swin with one block per stage; timm has none smaller than 28 million weights."""
    options = {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "embed_dim": 24}

    def build(name, given, file=None):
        return build_timm(name, {**given, **(options if "swin" in name else {})}, file)

    monkeypatch.setattr(backbones, "build_timm", build)


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_trained_makes_heatmaps_and_is_loaded_again(name, tmp_path, small_swin):
    size, channels, side, fine = FAMILIES[name]
    network = build_network(f"timm:{name}", **HEAD, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for step in range(2):
        batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(step))
        network(batch).square().sum().backward()
        optimizer.step()
    # Each weight takes part: distributed training fails on one that does not.
    assert all(weights.grad is not None for weights in network.parameters())
    network.eval()
    assert network.features(batch).shape == (2, channels, side, side)

    layers = {"last": side, 32: side} | ({4: fine} if fine else {})
    for layer, grid in layers.items():
        settings = SaliencySettings("layercam", 2, size, layer)
        heat = raw_heatmaps(network, images(2, size), np.array([0, 1]), np.array([2, 0]), settings)
        assert heat.shape == (2, grid, grid)
        assert np.isfinite(heat).all()
    if not fine:
        settings = SaliencySettings("gradcam", 2, size, 4)
        with pytest.raises(UserError, match=r"no layer of that stride; set a larger one, or last"):
            raw_heatmaps(network, images(1, size), np.array([0]), np.array([0]), settings)

    save_model(tmp_path, network, {"backbone": network.backbone, "input_size": 64, "head": HEAD})
    again, _ = load_model(tmp_path)
    with torch.inference_mode():
        assert torch.equal(again(batch), network(batch))


@pytest.mark.parametrize("name", ["resnet10t", "test_maxvit"])
def test_a_network_split_at_a_layer_is_the_same_network(name):
    features = build_features(f"timm:{name}")[0].eval()
    batch = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        for stride in (4, 8, 16):
            first, rest = layers_up_to(features, stride)
            assert first(batch).shape[-1] == 160 // stride
            assert torch.equal(rest(first(batch)), features(batch))


class Chain(nn.Module):
    """A network in timm's form, which may do something between its two layers."""

    def __init__(self, between):
        super().__init__()
        self.num_features = 3
        self.stem, self.stages = nn.Conv2d(3, 3, 1), nn.ModuleList([nn.Conv2d(3, 3, 1)])
        self.between = between

    def forward_features(self, images):
        return self.stages[0](self.between(self.stem(images)))


@pytest.mark.parametrize(
    ("between", "layers"),
    [(lambda maps: maps, 3), (lambda maps: maps + 1, 1), (lambda maps: maps.add_(1), 1)],
    ids=["nothing", "another tensor", "in place"],
)
def test_a_network_is_split_only_where_one_layer_takes_the_output_of_the_other(between, layers):
    maps = TimmMaps(Chain(between), 8)
    assert len(maps.layers(partial(map_shape, size=8))) == layers


def test_tokens_become_pixels_and_those_before_the_patches_are_dropped():
    tokens = torch.arange(2 * 6 * 3.0).view(2, 6, 3)  # two class tokens, four patches
    maps = FeatureMaps(3, 2)(tokens)
    assert maps.shape == (2, 3, 2, 2)
    assert torch.equal(maps[:, :, 1, 0], tokens[:, 2 + 2])
    # Where timm does not say how many: one more than a square is a class token.
    assert torch.equal(FeatureMaps(3, None)(tokens[:, 1:])[:, :, 0, 1], tokens[:, 3])
    assert torch.equal(FeatureMaps(3, None)(tokens[:, 2:])[:, :, 0, 1], tokens[:, 3])


def test_maps_with_the_channels_last_are_permuted():
    last = torch.rand(2, 4, 4, 3)
    assert torch.equal(FeatureMaps(3, None)(last)[:, :, 1, 2], last[:, 1, 2])
    assert torch.equal(FeatureMaps(3, None)(last.permute(0, 3, 1, 2))[:, :, 1, 2], last[:, 1, 2])


@pytest.mark.parametrize("outputs", [torch.rand(1, 6, 3), torch.rand(1, 3), [torch.rand(1)]])
def test_what_is_no_map_is_none(outputs):
    with pytest.raises(RuntimeError, match=r"no maps|no square"):
        FeatureMaps(3, 0)(outputs)


@pytest.mark.parametrize("name", ["efficientvim_m1", "pit_ti_distilled_224"])
def test_a_network_without_maps_is_refused(name, undrawn):
    with pytest.raises(
        UserError, match=rf"^train\.backbones: timm:{name} gives no maps \(.*\), so"
    ):
        build_features(f"timm:{name}")


def test_images_of_a_size_that_a_network_does_not_take_are_refused_with_the_nearest(undrawn):
    for name, size, near in (("test_maxvit", 64, 160), ("eva02_tiny_patch14_224", 64, 70)):
        features, _ = build_features(f"timm:{name}")
        check_input_size(features, f"timm:{name}", near)
        sentence = rf"^train\.input_size: timm:{name} takes no images of {size} px; set {near}, for"
        with pytest.raises(UserError, match=sentence):
            check_input_size(features, f"timm:{name}", size)


def test_a_finer_grid_is_timms_own_dilation_or_refused(undrawn):
    fine = build_features("timm:resnet10t", output_stride=16)[0]
    assert map_shape(fine, 64) == (512, 4, 4)
    unchanged = build_features("timm:test_vit", output_stride=16)[0]  # patches of 16 px
    assert map_shape(unchanged, 64) == (64, 4, 4)
    with pytest.raises(UserError, match=r"^model\.output_stride: timm:test_maxvit allows 32 only"):
        build_features("timm:test_maxvit", output_stride=16)


def test_an_unknown_name_is_refused_with_those_near_it():
    with pytest.raises(UserError, match=r"^here: unknown backbone 'timm:resnet10tt'; near it: tim"):
        check_backbone("timm:resnet10tt", "here")


def test_without_timm_the_error_names_the_command(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(timm_backbones, "import_module", import_module)
    timm_backbones._timm.cache_clear()
    with pytest.raises(UserError, match=r"timm:resnet18 needs `pip install 'timm"):
        check_backbone("timm:resnet18")
    timm_backbones._timm.cache_clear()


def test_images_are_in_the_range_that_the_weights_expect(undrawn):
    grey = torch.linspace(0, 1, 32 * 32).view(1, 1, 32, 32)
    assert default_weights("timm:test_vit").mean == (0.5, 0.5, 0.5)
    first = build_features("timm:test_vit")[0][0]
    expected = (2 * grey - 1).expand(1, 3, 32, 32)
    assert torch.allclose(first(normalise(grey)), expected, atol=1e-6)
    assert isinstance(build_features("timm:resnet10t")[0], TimmMaps)  # ImageNet's own
