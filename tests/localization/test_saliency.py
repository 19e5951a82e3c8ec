"""Grad-CAM and CAM."""

import numpy as np
import pytest
import torch

from cxr14.localization.saliency import cam, grad_cam, heat_grids, upsampled

MAPS = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(1))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def test_for_average_pooling_grad_cam_is_the_positive_part_of_cam_up_to_scale(tiny):
    network = tiny()
    heat = grad_cam(network, MAPS, [0, 7, 14])
    expected = cam(network, MAPS, [0, 7, 14]).relu() / 30  # h·w
    assert heat.shape == (3, 3, 5, 6)
    torch.testing.assert_close(heat, expected, rtol=1e-5, atol=1e-7)


def test_the_mean_of_cam_and_the_bias_make_the_logit(tiny):
    network = tiny()
    logits = cam(network, MAPS, range(15)).mean(dim=(2, 3)) + network.prediction.bias
    torch.testing.assert_close(logits, network.score(MAPS))


def test_grad_cam_of_maximum_pooling_weighs_maps_by_the_gradient_at_the_maximum(tiny):
    network = tiny("max")
    weights = network.prediction.weight[2] / 30  # one of 30 places has slope w, mean over all
    expected = (weights[None, :, None, None] * MAPS).sum(1).relu()
    torch.testing.assert_close(grad_cam(network, MAPS, [2])[:, 0], expected.detach())


def test_cam_is_refused_for_other_pooling_in_one_sentence(tiny):
    with pytest.raises(ValueError, match=r"pools with max; set localize\.method to gradcam"):
        cam(tiny("max"), MAPS, [0])


def test_no_gradient_reaches_the_backbone(tiny):
    network = tiny()
    heat_grids(network, IMAGES, np.arange(5), [0, 1], "gradcam", 2)
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("method", ["gradcam", "cam"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_all_findings_of_an_image_cost_one_forward_pass(tiny, method, batch_size):
    network = tiny()
    rows = np.array([4, 1, 2])
    grids = heat_grids(network, IMAGES, rows, [0, 5, 6], method, batch_size)
    assert grids.shape == (3, 3, 8, 8)
    assert network.passes == 3
    alone = heat_grids(network, IMAGES, rows[1:2], [5], method, 1)
    assert grids[1, 1] == pytest.approx(alone[0, 0], abs=1e-6)


def test_upsampling_does_not_align_corners():
    # Centres of two cells lie at 1 and 3 of 4 pixels; outside them the map stays flat.
    wide = upsampled(np.array([[[0.0, 1.0]]], np.float32), 4)
    assert wide[0, 0].tolist() == [0, 0.25, 0.75, 1]
