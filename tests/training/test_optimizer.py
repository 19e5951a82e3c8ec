"""Optimizer and schedule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cxr14.training.optim import learning_rate_factor, make_optimizer, make_scheduler
from tests.training.tiny import RECIPE, make_session, replace, tiny

KINDS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def factor(step, steps, schedule="cosine", warmup=0.0, cycles=1):
    recipe = replace(RECIPE, schedule=schedule, warmup_fraction=warmup, cycles=cycles)
    return learning_rate_factor(step, steps, recipe)


@pytest.mark.parametrize("name", KINDS)
def test_weights_are_decayed_and_biases_and_normalisation_are_not(name):
    network = tiny()
    recipe = replace(RECIPE, optimizer=name, weight_decay=0.02, backbone_rate=0.1)
    optimizer = make_optimizer(network, recipe)
    assert isinstance(optimizer, KINDS[name])
    told = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            told[id(parameter)] = (group["weight_decay"], pytest.approx(group["lr"]))
    expected = {
        id(parameter): (0.02 if parameter.ndim > 1 else 0.0, 0.001 if "features" in name else 0.01)
        for name, parameter in network.named_parameters()
    }
    assert told == expected


@pytest.mark.parametrize(
    ("step", "schedule", "expected"),
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
def test_the_schedule_by_hand(step, schedule, expected):
    assert factor(step, 12, schedule, 1 / 6) == pytest.approx(expected, abs=1e-12)


def test_warm_restarts_begin_again_at_the_top():
    """Twelve steps in three cycles of four."""
    falling = [1.0, 0.853553, 0.5, 0.146447]
    found = [factor(step, 12, cycles=3) for step in range(13)]
    assert found == pytest.approx([*falling * 3, 0.0], abs=1e-6)


def test_a_plateau_of_the_validation_loss_lowers_the_rate_to_a_tenth():
    optimizer = make_optimizer(tiny(), replace(RECIPE, backbone_rate=0.5))
    scheduler = make_scheduler(optimizer, replace(RECIPE, schedule="plateau"), 100)
    rates = []
    for loss in (0.5, 0.4, 0.4, 0.4, 0.3):  # two epochs without a gain
        scheduler.step(loss)
        rates.append(optimizer.param_groups[-1]["lr"])
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0005)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_without_warm_up_it_starts_at_the_top(schedule):
    assert factor(0, 10, schedule) == 1
    assert factor(0, 1, schedule, 0.1) == 1


@given(
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["cosine", "constant"]),
    cycles=st.integers(1, 5),
)
def test_every_step_learns_and_none_above_the_full_rate(steps, warmup, schedule, cycles):
    factors = [factor(step, steps, schedule, warmup, cycles) for step in range(steps)]
    assert all(0 < value <= 1 for value in factors)
    assert 0 <= factor(steps, steps, schedule, warmup, cycles) <= 1


def stepped(clip_norm, scale) -> torch.Tensor:
    """The change of all weights by one SGD step at rate 1, for a gradient of ones times `scale`."""
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=1.0, schedule="constant")
    session = make_session(tiny(), replace(recipe, warmup_fraction=0.0, clip_norm=clip_norm))
    before = nn.utils.parameters_to_vector(session.network.parameters()).detach().clone()
    for parameter in session.network.parameters():
        parameter.grad = torch.full_like(parameter, scale)
    session.optimizer_step()
    return before - nn.utils.parameters_to_vector(session.network.parameters()).detach()


@pytest.mark.parametrize(("clip_norm", "expected"), [(3.0, 3.0), (1e6, None), (None, None)])
def test_the_gradient_of_all_weights_together_is_clipped_to_a_norm(clip_norm, expected):
    change = stepped(clip_norm, 0.5)
    norm = expected or 0.5 * len(change) ** 0.5
    assert torch.allclose(change, torch.full_like(change, norm / len(change) ** 0.5), rtol=1e-4)
