"""Heatmaps of cached images, one forward pass for all findings."""

import numpy as np
import pytest
import torch

from cxr14.localization.cam import METHODS, SaliencySettings, heat_grids
from cxr14.localization.heatmaps import upsampled
from cxr14.models.inference import deterministic_inference, prepare
from cxr14.models.network import build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
LARGER = np.random.default_rng(1).integers(0, 256, (2, 96, 96), dtype=np.uint8)
FOUR = [4, 11, 2, 7]  # of the classes: enough that some have heat in a network of random weights


def prepared(network, images):
    """The images on the network's device, which heat_grids may have changed."""
    return prepare(torch.from_numpy(images), images.shape[-1]).to(network.prediction.weight.device)


def by_hooks(network, images, position):
    """Grad-CAM as most implement it: hooks, and a backward pass through the whole network."""
    kept = []
    hook = network.head.transition.register_forward_hook(lambda *args: kept.append(args[2]))
    with deterministic_inference(network):
        logits = network(prepared(network, images))
        hook.remove()
        (slope,) = torch.autograd.grad(logits[:, position].sum(), kept[0])
    heat = (slope.mean(dim=(2, 3), keepdim=True) * kept[0]).sum(dim=1).relu()
    return heat.detach().cpu().numpy()


def close(first, second):
    scale = float(np.abs(second).max())
    assert scale > 0
    assert first == pytest.approx(second, rel=0, abs=1e-5 * scale)


@pytest.mark.parametrize("pooling", ["avg", "max", "lse"])
@pytest.mark.parametrize("backbone", ["densenet121", "alexnet"])  # both have ReLUs in place
def test_grad_cam_of_real_networks_is_that_of_hooks_and_a_whole_backward_pass(backbone, pooling):
    network = build_network(backbone, 16, pooling, 10.0, seed=1).eval()
    grids = heat_grids(network, LARGER, np.arange(2), FOUR, SaliencySettings("gradcam", 2, 96))
    close(grids, np.stack([by_hooks(network, LARGER, position) for position in FOUR], axis=1))


@pytest.mark.filterwarnings("default")  # what torch.compile warns of depends on the machine
def test_a_compiled_network_gives_the_same_heat():
    network = build_network("alexnet", 16, "max", 10.0, seed=1).eval()
    job = (LARGER, np.arange(2), FOUR)
    plain = {
        method: heat_grids(network, *job, SaliencySettings(method, 2, 96))
        for method in METHODS
        if method != "cam"
    }
    whole = torch.compile(network, backend="eager")
    with torch.no_grad():
        whole(prepared(network, LARGER))  # compiled now, and used
    for method, heat in plain.items():
        close(heat_grids(whole, *job, SaliencySettings(method, 2, 96)), heat)
    network.compile(backend="aot_eager")
    network.maps = torch.compile(network.maps, backend="aot_eager")
    for method, heat in plain.items():
        close(heat_grids(network, *job, SaliencySettings(method, 2, 96)), heat)


def test_no_gradient_reaches_the_backbone(tiny):
    network = tiny()
    heat_grids(network, IMAGES, np.arange(5), [0, 1], SaliencySettings("gradcam", 2, 32))
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_all_findings_of_an_image_cost_one_forward_pass(tiny, method, batch_size):
    network = tiny()
    rows = np.array([4, 1, 2])
    grids = heat_grids(network, IMAGES, rows, [0, 5, 6], SaliencySettings(method, batch_size, 32))
    assert grids.shape == (3, 3, 8, 8)
    assert network.passes == 3
    alone = heat_grids(network, IMAGES, rows[1:2], [5], SaliencySettings(method, 1, 32))
    assert grids[1, 1] == pytest.approx(alone[0, 0], abs=1e-6)


def test_a_network_in_training_is_refused_as_its_images_would_mix(tiny):
    with pytest.raises(ValueError, match=r"call network\.eval\(\) first"):
        heat_grids(tiny().train(), IMAGES, np.arange(1), [0], SaliencySettings("gradcam", 1, 32))


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
    settings = SaliencySettings("cam", 2, 16)
    grids = heat_grids(tiny(), IMAGES, np.arange(5), [0], settings)
    assert grids.shape == (5, 1, 4, 4)  # a quarter of 16 px a side, not of the cache's 32
    with torch.no_grad():
        maps = tiny().maps(prepare(torch.from_numpy(IMAGES), 16))
    expected = METHODS["cam"](tiny(), maps, [0]).numpy()
    assert grids == pytest.approx(expected, abs=1e-6)
