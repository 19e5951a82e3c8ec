"""Losses that are looked at from time to time."""

import pytest
import torch

from cxr14.training.engine import METER_STEPS, LossMeter, NotFiniteError


def watch(step=0):
    return LossMeter("cpu", step, lambda losses: losses)


def fill(own, losses):
    for n, loss in enumerate(losses):
        own.add(torch.tensor(loss, requires_grad=True), torch.tensor([2 * n, 2 * n + 1]))


def test_losses_come_back_once_and_in_order():
    own = watch()
    fill(own, [0.5, 0.25])
    assert own.flush() == [0.5, 0.25]
    assert own.flush() == []


def test_it_is_full_after_so_many_steps():
    own = watch()
    fill(own, [1.0] * (METER_STEPS - 1))
    assert not own.full
    fill(own, [1.0])
    assert own.full
    assert own.flush() == [1.0] * METER_STEPS
    assert not own.full


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_the_first_loss_that_is_not_finite_is_named_with_its_step_and_images(loss):
    own = watch(step=100)
    fill(own, [0.5, 0.5, loss, float("nan")])
    with pytest.raises(NotFiniteError, match=r"the loss is -?(nan|inf) in step 103") as caught:
        own.flush()
    assert caught.value.indices.tolist() == [4, 5]
