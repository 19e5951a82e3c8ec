"""The saliency methods, on maps that can be worked out by hand and on real networks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxr14.errors import UserError
from cxr14.localization.cam import (
    METHODS,
    SaliencySettings,
    cam,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    logit_gradients,
    raw_heatmaps,
)
from cxr14.models.network import POOLINGS, Head

MAPS = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(1))
CLASSES_OF_MAPS = torch.tensor([3, 14, 0])

# Two maps of 2×2 and one class, logit = 2 · pool(A) − 1 · pool(B), so all can be done on paper.
A = [[4.0, 0.0], [0.0, 0.0]]
B = [[0.0, 2.0], [1.0, 1.0]]


def head(pooling, weights=(2.0, -1.0), lse_r=1.0):
    """The real head with these weights and one class."""
    network = Head(1, len(weights), pooling, lse_r, 1)
    network.prediction.weight.data = torch.tensor([weights])
    network.prediction.bias.data = torch.zeros(1)
    return network.eval()


def heat_of(method, network, maps, classes=None):
    """The heat (P, h, w) of each image's class, by default the first."""
    classes = torch.zeros(len(maps), dtype=torch.int64) if classes is None else classes
    return method(maps, logit_gradients(network.score, maps, classes))


def by_hand(method, pooling, a=A, b=B):
    """The heat of the one class, as nested lists."""
    return heat_of(method, head(pooling), torch.tensor([[a, b]]))[0].tolist()


def test_cam_sums_the_maps_by_the_weights_of_the_prediction():
    assert by_hand(cam, "avg") == [[8, -2], [-1, -1]]  # 2·A − B


def test_grad_cam_of_average_pooling_is_the_positive_part_over_the_pixels():
    assert by_hand(grad_cam, "avg") == [[2, 0], [0, 0]]  # gradients 2/4 and −1/4: ReLU(A/2 − B/4)


def test_grad_cam_of_maximum_pooling_weighs_by_the_slope_at_the_maximum():
    # Slopes 2 at the 4 of A, −1 at the 2 of B; their means are 1/2 and −1/4 again.
    assert by_hand(grad_cam, "max") == [[2, 0], [0, 0]]
    # With the signs of B exchanged for those of A the other corner is hot.
    assert by_hand(grad_cam, "max", B, A) == [[0, 1], [0.5, 0.5]]  # ReLU(B/2 − A/4)


def test_grad_cam_pp_of_average_pooling_divides_a_weight_by_two_and_its_share_of_the_logit():
    # A: w = 2, mean 1: 2 / (2 + 2·1) = 1/2. B: its slope is negative and does not count.
    assert by_hand(grad_cam_pp, "avg") == [[2, 0], [0, 0]]
    assert by_hand(grad_cam_pp, "avg", B, A) == [[0, 1], [0.5, 0.5]]  # B has mean 1, too


def test_grad_cam_pp_of_maximum_pooling_sums_over_the_places_that_have_a_slope():
    # A: one place with slope 2, sum of the map 4: 2 / (2 + 4·2) = 1/5.
    assert by_hand(grad_cam_pp, "max")[0] == pytest.approx([0.8, 0])


def test_layer_cam_of_average_pooling_is_a_cam_of_the_positive_weights():
    assert by_hand(layer_cam, "avg") == [[2, 0], [0, 0]]
    assert by_hand(layer_cam, "avg", B, A) == [[0, 1], [0.5, 0.5]]  # B/2, nothing taken off


def test_layer_cam_of_maximum_pooling_is_hot_at_the_maximum_alone():
    assert by_hand(layer_cam, "max", B, A) == [[0, 4], [0, 0]]  # 2 · 2


def test_hires_cam_of_average_pooling_is_grad_cam():
    assert by_hand(hires_cam, "avg") == by_hand(grad_cam, "avg") == [[2, 0], [0, 0]]
    assert by_hand(hires_cam, "avg", B, A) == [[0, 1], [0.5, 0.5]]  # ReLU(B/2 − A/4)


def test_hires_cam_subtracts_where_a_gradient_is_negative_and_layer_cam_does_not():
    maps = torch.tensor([[A, [[2.0, 0.0], [0.0, 5.0]]]])
    gradient = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[-1.0, 1.0], [1.0, 1.0]]]])
    assert hires_cam(maps, gradient)[0].tolist() == [[2, 0], [0, 5]]  # 4·1 − 2·1, 5·1
    assert layer_cam(maps, gradient)[0].tolist() == [[4, 0], [0, 5]]
    # The mean gradients are 1 and 1/2: one weight for the whole of a map.
    assert grad_cam(maps, gradient)[0].tolist() == [[5, 0], [0, 2.5]]


def test_lse_pooling_weighs_pixels_by_their_share_of_the_exponentials():
    # Shares of A: e⁴ / (e⁴ + 3) at the corner; the slope there is twice it.
    share = torch.tensor(4.0).exp() / (torch.tensor(4.0).exp() + 3)
    heat = by_hand(layer_cam, "lse")
    assert heat[0][0] == pytest.approx(float(2 * share * 4), rel=1e-5)
    assert heat[1] == [0, 0]
    # The shares add up to one, so their mean is a quarter: Grad-CAM is that of the average.
    assert by_hand(grad_cam, "lse")[0] == pytest.approx([2, 0], rel=1e-5)


def test_for_average_pooling_grad_cam_is_the_positive_part_of_cam_up_to_scale(tiny):
    network = tiny()
    heat = heat_of(grad_cam, network, MAPS, CLASSES_OF_MAPS)
    expected = heat_of(cam, network, MAPS, CLASSES_OF_MAPS).relu() / 30  # h·w
    assert heat.shape == (3, 5, 6)
    torch.testing.assert_close(heat, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("pooling", ["max", "lse"])
def test_for_other_poolings_too_as_the_gradients_of_a_map_add_up_to_its_weight(pooling):
    network = Head(8, 4, pooling, 10.0, 15).eval()
    weights = network.prediction.weight.detach()[CLASSES_OF_MAPS]
    gradient = logit_gradients(network.score, MAPS, CLASSES_OF_MAPS)
    torch.testing.assert_close(gradient.sum(dim=(2, 3)), weights)
    expected = torch.einsum("pt,pthw->phw", weights, MAPS).relu() / 30
    torch.testing.assert_close(grad_cam(MAPS, gradient), expected)


def test_the_mean_of_cam_and_the_bias_make_the_logit(tiny):
    network = tiny()
    heat = [heat_of(cam, network, MAPS, torch.full((3,), position)) for position in range(15)]
    logits = torch.stack(heat, dim=1).mean(dim=(2, 3)) + network.prediction.bias
    torch.testing.assert_close(logits, network.score(MAPS))


@pytest.mark.parametrize(
    ("pooling", "layer", "named"), [("max", "last", "max and last"), ("avg", 4, "avg and 4")]
)
def test_cam_is_refused_for_other_pooling_or_off_the_last_layer(tiny, pooling, layer, named):
    images, one = np.zeros((1, 64, 64), np.uint8), np.zeros(1, np.int64)
    settings = SaliencySettings("cam", 1, 64, layer)
    with pytest.raises(UserError, match=rf"they are {named}; set localize\.method to gradcam"):
        raw_heatmaps(tiny(pooling).eval(), images, one, one, settings)
    allowed = settings._replace(method="gradcam", layer="last")
    assert len(raw_heatmaps(tiny(pooling).eval(), images, one, one, allowed)) == 1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_backward_pass_of_all_pairs_gives_what_a_pass_for_each_gives(pooling):
    network = Head(8, 4, pooling, 10.0, 15).eval()
    of_pairs = logit_gradients(network.score, MAPS, CLASSES_OF_MAPS)
    assert of_pairs.shape == MAPS.shape
    for index, position in enumerate(CLASSES_OF_MAPS):
        maps = MAPS[index : index + 1].clone().requires_grad_()
        (alone,) = torch.autograd.grad(network.score(maps)[0, position], maps)
        torch.testing.assert_close(of_pairs[index], alone[0])


def test_gradients_work_where_gradients_are_off_and_leave_maps_and_weights_alone(tiny):
    network, maps = tiny(), MAPS.clone()
    with torch.no_grad():
        logit_gradients(network.score, maps, CLASSES_OF_MAPS)
    assert torch.equal(maps, MAPS)
    assert not maps.requires_grad
    assert all(weight.grad is None for weight in network.parameters())


@settings(max_examples=40, deadline=None)  # a busy machine is no failure
@given(
    hnp.arrays("float32", (2, 3, 3, 4), elements=st.floats(0, 100, width=32)),
    hnp.arrays("float32", (3,), elements=st.floats(-10, 10, width=32)),
    st.sampled_from(POOLINGS),
)
def test_all_methods_but_cam_are_finite_and_not_negative(maps, weights, pooling):
    network = head(pooling, tuple(weights.tolist()))
    for name in METHODS.keys() - {"cam"}:
        heat = heat_of(METHODS[name], network, torch.from_numpy(maps))
        assert heat.shape == (2, 3, 4)
        assert heat.isfinite().all()
        assert (heat >= 0).all()


def test_grad_cam_pp_keeps_its_shape_however_small_the_gradients():
    # With a number such as 10⁻⁶ added to its denominator, as others have it, it would not.
    maps = torch.rand(1, 2, 7, 7, generator=torch.Generator().manual_seed(2))
    small = [heat_of(grad_cam_pp, head("avg", (s, 3 * s)), maps) for s in (1e-4, 1e-5)]
    scaled = [heat / heat.max() for heat in small]
    torch.testing.assert_close(scaled[0], scaled[1], rtol=1e-3, atol=0)
