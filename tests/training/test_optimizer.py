"""Optimizer and schedule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cxr14.training.optimizer import learning_rate_factor, make_optimizer

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_weights_are_decayed_and_biases_and_normalisation_are_not(name, kind):
    optimizer = make_optimizer(NETWORK, name, 0.1, 0.02)
    assert isinstance(optimizer, kind)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.02, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(NETWORK[0].weight), id(NETWORK[3].weight)}
    assert len(spared["params"]) == 4
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"train\.optimizer is 'lion'; allowed: adamw, sgd"):
        make_optimizer(NETWORK, "lion", 0.1, 0.0)


@pytest.mark.parametrize(
    ("step", "schedule", "factor"),
    [
        (0, "cosine", 0.5),  # two of twelve steps rise: 1/2, 1
        (1, "cosine", 1.0),
        (2, "cosine", 1.0),  # then ten fall along half a cosine
        (7, "cosine", 0.5),
        (12, "cosine", 0.0),
        (0, "constant", 0.5),
        (2, "constant", 1.0),
        (11, "constant", 1.0),
    ],
)
def test_the_schedule_by_hand(step, schedule, factor):
    assert learning_rate_factor(step, 12, schedule, 1 / 6) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_without_warm_up_it_starts_at_the_top(schedule):
    assert learning_rate_factor(0, 10, schedule, 0.0) == 1
    assert learning_rate_factor(0, 1, schedule, 0.1) == 1


@given(
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["cosine", "constant"]),
)
def test_every_step_learns_and_none_above_the_full_rate(steps, warmup, schedule):
    factors = [learning_rate_factor(step, steps, schedule, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert 0 <= learning_rate_factor(steps, steps, schedule, warmup) <= 1
