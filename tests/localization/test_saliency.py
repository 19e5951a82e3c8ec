"""Heatmaps of pairs of a cached image and a class, at the last layer and at finer ones."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.errors import UserError
from cxr14.localization.cam import (
    METHODS,
    SaliencySettings,
    logit_gradients,
    raw_heatmaps,
    smooth_heatmaps,
)
from cxr14.localization.heatmaps import upsampled
from cxr14.models.inference import deterministic_inference, prepare
from cxr14.models.network import Head, Network, build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
LARGER = np.random.default_rng(1).integers(0, 256, (2, 96, 96), dtype=np.uint8)
ROWS = np.array([0, 0, 1, 1])
POSITIONS = np.array([4, 11, 2, 7])  # enough that some have heat in a network of random weights


def prepared(network, images):
    """The images on the network's device, which raw_heatmaps may have changed."""
    return prepare(torch.from_numpy(images), images.shape[-1]).to(network.prediction.weight.device)


def by_hooks(network, layer, method=METHODS["gradcam"]):
    """Heat as most implement it: hooks, and a backward pass through the whole network."""
    kept, heat = [], []
    hook = layer.register_forward_hook(lambda *args: kept.append(args[2].clone()) or kept[-1])
    with deterministic_inference(network):
        for row, position in zip(ROWS, POSITIONS, strict=True):
            logits = network(prepared(network, LARGER[row : row + 1]))
            (gradient,) = torch.autograd.grad(logits[0, position], kept[-1])
            heat.append(method(kept[-1], gradient)[0].detach().cpu().numpy())
    hook.remove()
    return np.stack(heat)


def close(first, second):
    scale = float(np.abs(second).max())
    assert scale > 0
    assert first == pytest.approx(second, rel=0, abs=1e-5 * scale)


@pytest.mark.parametrize("pooling", ["avg", "max", "lse"])
@pytest.mark.parametrize("backbone", ["densenet121", "alexnet"])  # both have ReLUs in place
def test_grad_cam_of_real_networks_is_that_of_hooks_and_a_whole_backward_pass(backbone, pooling):
    network = build_network(backbone, 16, pooling, 10.0, seed=1).eval()
    grids = raw_heatmaps(network, LARGER, ROWS, POSITIONS, SaliencySettings("gradcam", 3, 96))
    close(grids, by_hooks(network, network.head.transition))


LAYERS = {
    ("alexnet", 4): ("features.1", 23),
    ("resnet18", 4): ("features.layer1", 24),
    ("resnet18", 8): ("features.layer2", 12),
    ("densenet121", 8): ("features.0.denseblock2", 12),
}


@pytest.mark.parametrize(("backbone", "stride"), LAYERS)
def test_maps_of_a_finer_layer_are_those_of_hooks_and_a_whole_backward_pass(backbone, stride):
    name, side = LAYERS[backbone, stride]
    network = build_network(backbone, 16, "avg", 10.0, seed=1).eval()
    for method in METHODS.keys() - {"cam"}:
        settings = SaliencySettings(method, 3, 96, stride)
        grids = raw_heatmaps(network, LARGER, ROWS, POSITIONS, settings)
        assert grids.shape == (4, side, side)
        close(grids, by_hooks(network, network.get_submodule(name), METHODS[method]))


@pytest.mark.filterwarnings("default")  # what torch.compile warns of depends on the machine
def test_a_compiled_network_gives_the_same_heat():
    network = build_network("alexnet", 16, "max", 10.0, seed=1).eval()
    job = (LARGER, ROWS, POSITIONS)
    plain = {
        method: raw_heatmaps(network, *job, SaliencySettings(method, 2, 96))
        for method in METHODS
        if method != "cam"
    }
    whole = torch.compile(network, backend="eager")
    with torch.no_grad():
        whole(prepared(network, LARGER))  # compiled now, and used
    for method, heat in plain.items():
        close(raw_heatmaps(whole, *job, SaliencySettings(method, 2, 96)), heat)
    network.compile(backend="aot_eager")
    network.maps = torch.compile(network.maps, backend="aot_eager")
    for method, heat in plain.items():
        close(raw_heatmaps(network, *job, SaliencySettings(method, 2, 96)), heat)


@pytest.mark.parametrize("layer", ["last", 4])
def test_no_gradient_is_left_on_a_weight(layer):
    network = build_network("alexnet", 4, "avg", 10.0, seed=1).eval()
    raw_heatmaps(network, LARGER, ROWS, POSITIONS, SaliencySettings("gradcam", 2, 96, layer))
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_neither_the_batch_size_nor_the_order_of_the_pairs_changes_a_map(tiny, method, batch_size):
    rows, classes = np.array([4, 1, 4, 2, 1]), np.array([0, 5, 6, 5, 0])
    settings = SaliencySettings(method, batch_size, 32)
    grids = raw_heatmaps(tiny(), IMAGES, rows, classes, settings)
    assert grids.shape == (5, 8, 8)
    order = np.array([3, 0, 4, 2, 1])
    reordered = raw_heatmaps(tiny(), IMAGES, rows[order], classes[order], settings)
    assert reordered == pytest.approx(grids[order], abs=1e-6)
    for pair in range(5):
        one = slice(pair, pair + 1)
        alone = raw_heatmaps(tiny(), IMAGES, rows[one], classes[one], settings)
        assert grids[pair] == pytest.approx(alone[0], abs=1e-6)


def test_the_classes_of_an_image_share_its_forward_pass(tiny):
    network = tiny()
    rows, classes = np.array([1, 1, 1, 4, 4, 2]), np.arange(6)
    raw_heatmaps(network, IMAGES, rows, classes, SaliencySettings("gradcam", 8, 32))
    assert network.passes == 3


def test_without_pairs_there_is_no_map(tiny):
    none = np.zeros(0, np.int64)
    settings = SaliencySettings("gradcam", 8, 32, smoothing=0.06)
    assert len(raw_heatmaps(tiny(), IMAGES, none, none, settings)) == 0


def test_a_network_in_training_is_refused_as_its_images_would_mix(tiny):
    one = np.zeros(1, np.int64)
    with pytest.raises(UserError, match=r"call network\.eval\(\) first"):
        raw_heatmaps(tiny().train(), IMAGES, one, one, SaliencySettings("gradcam", 1, 32))


def test_a_layer_that_the_network_does_not_have_is_refused_by_name():
    network = Network("vit_b_16", 4, "avg").eval()
    one = np.zeros(1, np.int64)
    with pytest.raises(
        UserError,
        match=r"^localize\.layer is 4, but vit_b_16 has no layer of that stride; set a larger one, "
        r"or last$",
    ):
        raw_heatmaps(network, LARGER, one, one, SaliencySettings("layercam", 1, 96, 4))
    patches = raw_heatmaps(network, LARGER, one, one, SaliencySettings("layercam", 1, 96, 16))
    assert patches.shape == (1, 6, 6)


class Everywhere(nn.Module):
    """A grid of 4 × 4 cells that all hold the mean of the image, most in the upper left corner."""

    def forward(self, maps):
        share = torch.ones(4, 4)
        share[0, 0] = 2
        return maps.mean(dim=(2, 3), keepdim=True) * share


class SquareDetector(nn.Module):
    """The logit is the brightness above grey; the first layer has it in place, the last has not."""

    backbone, pooling, maps, score = "square detector", "avg", Network.maps, Network.score

    def __init__(self):
        super().__init__()
        bright = nn.Conv2d(3, 1, 1)
        bright.weight.data, bright.bias.data = torch.ones(1, 3, 1, 1), -torch.ones(1)
        self.features = nn.Sequential(bright, nn.ReLU(), Everywhere())
        self.head = Head(1, 1, "avg", 1.0, 1)
        for layer in (self.head.transition[0], self.head.prediction):
            layer.weight.data.fill_(1)


def test_a_fine_layer_finds_the_evidence_of_a_network_whose_last_layer_sees_everything():
    images = np.full((2, 64, 64), 60, np.uint8)
    squares = (slice(40, 48), slice(8, 16)), (slice(16, 24), slice(48, 56))
    for image, square in zip(images, squares, strict=True):
        image[square] = 250
    pairs = np.arange(2), np.zeros(2, np.int64)
    settings = SaliencySettings("layercam", 2, 64)
    network = SquareDetector().eval()
    last = raw_heatmaps(network, images, *pairs, settings)
    assert last.shape == (2, 4, 4)
    assert (last.reshape(2, -1).argmax(axis=1) == 0).all()  # the corner, wherever the square is
    assert last[0] == pytest.approx(last[1])
    fine = raw_heatmaps(network, images, *pairs, settings._replace(layer=4))
    for heat, image in zip(fine, images, strict=True):
        assert ((heat > 0) == (image == 250)).all()
    smooth = raw_heatmaps(network, images, *pairs, settings._replace(layer=4, smoothing=0.05))
    for heat, image in zip(smooth, images, strict=True):
        assert image.ravel()[heat.argmax()] == 250


MAPS = np.random.default_rng(2).random((3, 12, 16), np.float32)


def test_smoothing_by_nothing_is_the_identity():
    np.testing.assert_array_equal(smooth_heatmaps(MAPS, 0.0), MAPS)


def test_smoothing_keeps_the_sum_of_each_map_also_of_heat_at_the_border():
    corner = np.zeros((1, 12, 16), np.float32)
    corner[0, 0, -1] = 1
    for maps in (MAPS, corner):
        smooth = smooth_heatmaps(maps, 0.1)
        assert smooth.sum(axis=(1, 2)) == pytest.approx(maps.sum(axis=(1, 2)), rel=1e-5)
        assert smooth.std() < maps.std()


def test_the_deviation_of_the_smoothing_is_a_share_of_the_side():
    spot = np.zeros((1, 101, 101), np.float32)
    spot[0, 50, 50] = 1
    profile = smooth_heatmaps(spot, 0.06)[0].sum(axis=0)
    deviation = np.sqrt((profile * (np.arange(101) - 50) ** 2).sum())
    assert deviation == pytest.approx(0.06 * 101, rel=0.01)


def test_heat_is_smoothed_on_the_grid_before_it_is_normalized(tiny):
    settings = SaliencySettings("cam", 2, 32)
    job = (tiny(), IMAGES, np.arange(5), np.zeros(5, np.int64))
    raw, smooth = (raw_heatmaps(*job, settings._replace(smoothing=share)) for share in (0, 0.1))
    np.testing.assert_array_equal(smooth, smooth_heatmaps(raw, 0.1))


@pytest.mark.parametrize("shape", [(7, 7), (14, 14), (6, 6), (1, 1), (3, 5)])
def test_upsampling_is_that_of_torch(shape):
    grids = np.random.default_rng(0).random((4, *shape), np.float32)
    size = (224, 224)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(grids)[None], size, mode="bilinear")
    assert upsampled(grids, 224).dtype == np.float32
    np.testing.assert_allclose(upsampled(grids, 224), theirs[0].numpy(), rtol=0, atol=1e-6)


def test_upsampling_does_not_align_corners():
    # Centres of two cells lie at 1 and 3 of 4 pixels; outside them the map stays flat.
    wide = upsampled(np.array([[[0.0, 1.0]]], np.float32), 4)
    assert wide[0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_images_enter_at_the_given_size_and_the_grid_follows(tiny):
    classes, settings = np.zeros(5, np.int64), SaliencySettings("cam", 2, 16)
    grids = raw_heatmaps(tiny(), IMAGES, np.arange(5), classes, settings)
    assert grids.shape == (5, 4, 4)  # a quarter of 16 px a side, not of the cache's 32
    network = tiny()
    with torch.no_grad():
        maps = network.maps(prepare(torch.from_numpy(IMAGES), 16))
    gradient = logit_gradients(network.score, maps, torch.from_numpy(classes))
    assert grids == pytest.approx(METHODS["cam"](maps, gradient).numpy(), abs=1e-6)
