"""Several batches per optimizer step."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cxr14.models.inference import normalise
from cxr14.training.checkpoint import Checkpoint
from cxr14.training.distributed import Processes
from cxr14.training.engine import group_of, optimizer_steps
from cxr14.training.seeding import epoch_randomness
from tests.training.test_checkpoint import Killed, killed_at, same
from tests.training.tiny import (
    CHANGES,
    RECIPE,
    fit,
    loss_of,
    make_loop,
    make_session,
    part,
    replace,
    tiny,
)
from tests.training.together import network

BATCH = 4
SGD = replace(RECIPE, optimizer="sgd", schedule="constant", warmup_fraction=0.0, batch_size=BATCH)


def weights_of(trained) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in trained.best_state.values()]).double()


@pytest.mark.parametrize("weighting", ["none", "class"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_two_batches_of_four_give_the_weights_of_one_batch_of_eight(weighting, optimizer):
    """Without batch normalisation, and with the schedule and the average of the large batch."""
    recipe = replace(RECIPE, optimizer=optimizer, augment=CHANGES, ema=0.9, clip_norm=0.5)
    small = replace(recipe, batch_size=BATCH, accumulate=2)
    one = fit(network(), recipe, train=part(count=32), weighting=weighting)
    two = fit(network(), small, train=part(count=32), weighting=weighting)
    assert torch.allclose(weights_of(one), weights_of(two), rtol=1e-4, atol=1e-6)
    for large, row in zip(one.history, two.history, strict=True):
        assert row == pytest.approx(large, rel=1e-4)


def by_hand(count: int, groups: list[list[int]], weighting: str) -> nn.Module:
    """An epoch of SGD: of each group of batches, the gradient of their mean loss."""
    own, data = network().train(), part(count=count)
    loss = loss_of("cross_entropy", weighting, data.labels)
    order = epoch_randomness(SGD.seed, 0, count, "cpu").order.split(BATCH)
    images = torch.stack([image for image, _ in data.batches(torch.arange(count), 1)])[:, 0]
    optimizer = torch.optim.SGD(own.parameters(), SGD.learning_rate, momentum=0.9)
    for group in groups:
        optimizer.zero_grad()
        grey = [images[order[batch]][:, None].float() / 255 for batch in group]
        losses = [
            loss(own(normalise(batch)), data.labels[order[n]])
            for n, batch in zip(group, grey, strict=True)
        ]
        (sum(losses) / len(group)).backward()
        optimizer.step()
    return own


@pytest.mark.parametrize("weighting", ["none", "batch"])
def test_an_incomplete_last_group_is_the_mean_of_the_batches_that_it_has(weighting):
    """24 images are six batches: a step of four and a step of two. Weights `batch` are per batch."""
    recipe = replace(SGD, epochs=1, accumulate=4)
    trained = fit(network(), recipe, train=part(count=24), weighting=weighting)
    expected = by_hand(24, [[0, 1, 2, 3], [4, 5]], weighting).state_dict()
    for name, tensor in trained.best_state.items():
        assert torch.allclose(tensor, expected[name], rtol=1e-4, atol=1e-6), name


@given(steps=st.integers(1, 50), accumulate=st.integers(1, 12))
def test_groups_are_as_long_as_they_say_and_each_ends_once(steps, accumulate):
    groups = [group_of(step, steps, accumulate) for step in range(steps)]
    ends = [step for step, (_, is_last) in enumerate(groups) if is_last]
    assert len(ends) == optimizer_steps(steps, accumulate)
    assert ends[-1] == steps - 1
    for first, last in zip([0, *(end + 1 for end in ends)], ends, strict=False):
        assert {size for size, _ in groups[first : last + 1]} == {last + 1 - first}
        assert last + 1 - first == accumulate or last == steps - 1


def test_the_schedule_goes_by_optimizer_steps_and_reaches_its_end():
    recipe = replace(RECIPE, epochs=3, batch_size=BATCH, accumulate=4)
    session = make_session(tiny(), recipe, 24)
    make_loop(train=part(count=24)).run(session)
    assert session.scheduler.last_epoch == 3 * 2
    assert session.learning_rate == pytest.approx(0, abs=1e-12)


def run(folder, on_step=lambda: None):
    recipe = replace(RECIPE, batch_size=BATCH, accumulate=3, ema=0.9)
    checkpoint = Checkpoint(folder, "c", "run", seconds=0)
    loop = make_loop(train=part(count=40), checkpoint=checkpoint, on_step=on_step)
    session = make_session(tiny(), recipe, 40)
    told = checkpoint.resume(session)
    return loop.run(session), told


@pytest.mark.parametrize(
    ("killed", "resumed"), [(28, "2 epochs and 6 steps"), (20, "1 epochs and 9")]
)
def test_killed_within_a_group_it_goes_on_from_the_group_before_bit_for_bit(
    killed, resumed, tmp_path, monkeypatch
):
    """Ten batches an epoch: groups end after 3, 6, 9 and 10."""
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", 1)
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", killed_at(killed, []))
    trained, told = run(tmp_path / "killed")
    assert resumed in told
    assert same(trained, whole)


def test_processes_exchange_gradients_with_the_last_batch_only(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        wrapped = Processes(0, 2).wrap(nn.Linear(2, 1))
        with Processes(0, 2).accumulate(wrapped):
            assert not wrapped.require_backward_grad_sync
        assert wrapped.require_backward_grad_sync
    finally:
        torch.distributed.destroy_process_group()
    assert isinstance(Processes().accumulate(nn.Linear(2, 1)), nullcontext)
