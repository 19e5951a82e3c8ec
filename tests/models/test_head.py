"""Transition, pooling, prediction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.models.network import Head, pool

MAPS = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def lse(r: float, maps: torch.Tensor = MAPS) -> torch.Tensor:
    return pool(maps, "lse", r)


def test_average_and_maximum_are_over_space():
    assert torch.equal(pool(MAPS, "avg", 0.0), MAPS.mean(dim=(2, 3)))
    assert torch.equal(pool(MAPS, "max", 0.0), MAPS.amax(dim=(2, 3)))


def test_lse_is_the_formula_of_the_paper():
    """Wang et al. 2017, equation 1, for r = 10."""
    expected = torch.log(torch.exp(10 * MAPS).mean(dim=(2, 3))) / 10
    assert torch.allclose(lse(10.0), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_lse_is_the_mean_for_a_small_r_and_the_maximum_for_a_large_one(dtype):
    """In float32 a small r used to give the logarithm's rounding, .03 off at r = 1e-5."""
    maps = MAPS.to(dtype)
    for r in (1e-3, 1e-5, 1e-7):
        assert torch.allclose(lse(r, maps), maps.mean(dim=(2, 3)), atol=r + 1e-6)
    # The maximum is reached from below, by log(20) / r.
    assert torch.allclose(lse(1e6, maps), maps.amax(dim=(2, 3)), atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(0, 100), min_size=4, max_size=4), r=st.floats(0.01, 1000))
def test_lse_lies_between_the_mean_and_the_maximum(values, r):
    maps = torch.tensor(values, dtype=torch.float64).view(1, 1, 2, 2)
    pooled = float(lse(r, maps))
    assert float(maps.mean()) - 1e-9 <= pooled <= float(maps.max()) + 1e-9
    assert pooled >= float(maps.max()) - math.log(4) / r - 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lse_does_not_overflow(dtype):
    """r·x = ±10,000, where exp would be infinite or nothing; and the gradient is finite too."""
    maps = torch.full((1, 2, 3, 3), 1000.0, dtype=dtype)
    maps[0, 1] = -1000
    maps[0, 1, 0, 0] = 1000
    maps.requires_grad_()
    pooled = lse(10.0, maps)
    pooled.sum().backward()
    assert pooled.detach().float().tolist() == [[pytest.approx(1000, rel=0.01)] * 2]
    assert maps.grad is not None
    assert maps.grad.float().sum(dim=(2, 3)).tolist() == [[pytest.approx(1, rel=0.01)] * 2]
    assert float(maps.grad[0, 1, 0, 0]) == pytest.approx(1, rel=0.01)  # the others are far below


@pytest.mark.parametrize("r", [1e-4, 1.0, 10.0, 1e4])
def test_the_gradient_of_lse_is_the_softmax(r):
    maps = MAPS.clone().requires_grad_()
    lse(r, maps).sum().backward()
    assert maps.grad is not None
    expected = (r * MAPS.flatten(2)).softmax(dim=2)
    assert torch.allclose(maps.grad.flatten(2), expected, rtol=1e-6)


def test_an_unknown_pooling_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown pooling 'mean'; allowed: avg, max, lse"):
        pool(MAPS, "mean", 1.0)


def test_the_head_makes_maps_uniform_and_scores_are_linear_in_the_pooled_maps():
    head = Head(6, 4, "avg", 10.0, 15).eval()
    maps = head.transition(torch.randn(2, 6, 3, 3))
    assert maps.shape == (2, 4, 3, 3)
    assert maps.min() >= 0
    expected = maps.mean(dim=(2, 3)) @ head.prediction.weight.T + head.prediction.bias
    assert torch.allclose(head.score(maps), expected, atol=1e-6)
