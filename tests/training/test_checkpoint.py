"""Checkpoints: a training that was killed ends with the weights of one that was not."""

import random
from dataclasses import replace

import pytest
import torch

from cxr14.training.checkpoint import Checkpoint
from cxr14.training.interruption import InterruptedTrainingError, StopRequest
from cxr14.training.watch import NotFiniteError
from tests.training.tiny import CHANGES, RECIPE, fit, make_loop, make_session, part, tiny

RECIPES = {
    "plain": RECIPE,
    "averaged": replace(RECIPE, ema=0.9, augment=CHANGES),
    "momentum, restarts": replace(RECIPE, optimizer="sgd", cycles=3, augment=CHANGES),
    "plateau": replace(RECIPE, optimizer="adam", schedule="plateau", warmup_fraction=0.0),
}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop handles it."""


def killed_at(steps, after):
    """Return an `on_step` that kills at the given step."""

    def on_step():
        after.append(1)
        if len(after) == steps:
            raise Killed

    return on_step


def run(path, recipe=RECIPE, identity="run", **changes):
    """Train as a new process would, from the checkpoint if there is one."""
    checkpoint = Checkpoint(path, identity, seconds=0)
    loop = make_loop(recipe, train=part(count=48), checkpoint=checkpoint, **changes)
    session = make_session(tiny(), recipe, 48)
    told = checkpoint.resume(session)
    return loop.run(session), told


def same(first, second) -> bool:
    states = (first.best_state, second.best_state)
    return first.history == second.history and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


@pytest.mark.parametrize(("name", "every"), list(zip(RECIPES, (1, 4, 3, 2), strict=True)))
def test_killed_at_random_steps_it_ends_with_the_same_weights_bit_for_bit(
    name, every, tmp_path, monkeypatch
):
    monkeypatch.setattr("cxr14.training.watch.EVERY", every)
    whole, _ = run(tmp_path / "whole.pt", RECIPES[name])
    path, dice = tmp_path / "killed.pt", random.Random(name)
    for _ in range(4):  # eight epochs of six steps
        with pytest.raises(Killed):
            run(path, RECIPES[name], on_step=killed_at(dice.randint(1, 11), []))
    resumed, told = run(path, RECIPES[name])
    assert "goes on from" in told
    assert same(resumed, whole)


def test_a_killed_training_goes_on_and_does_not_start_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("cxr14.training.watch.EVERY", 1)
    with pytest.raises(Killed):
        run(tmp_path / "c.pt", on_step=killed_at(15, []))
    after: list[int] = []
    _, told = run(tmp_path / "c.pt", on_step=lambda: after.append(1))
    # The killed step was not saved: two epochs of six steps, and two steps of the third.
    assert told == f"goes on from {tmp_path / 'c.pt'}: 2 epochs and 2 steps were done"
    assert len(after) == 8 * 6 - 14


def test_a_checkpoint_of_other_params_is_not_used_and_said_so(tmp_path):
    run(tmp_path / "c.pt", identity="other")
    trained, told = run(tmp_path / "c.pt")
    assert "is of a run with other params, inputs or code; it is not used" in told
    assert same(trained, run(tmp_path / "new.pt")[0])


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"precision": "bf16"}])
def test_a_checkpoint_of_another_device_or_precision_is_not_used_and_said_so(change, tmp_path):
    """`auto` is a GPU on one machine and none on another; both used to go into the same weights."""
    path = tmp_path / "c.pt"
    run(path)
    before = torch.load(path, weights_only=True)
    torch.save(before | {"compute": before["compute"] | change}, path)
    trained, told = run(path)
    words = "cuda in fp32" if "device" in change else "cpu in bf16"
    assert f"was computed on {words}, and this training computes on cpu in fp32; it is not" in told
    assert same(trained, run(tmp_path / "new.pt")[0])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_not_used_and_said_so(content, tmp_path):
    path = tmp_path / "c.pt"
    run(path)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    trained, told = run(path)
    assert "cannot be read" in told
    assert same(trained, run(tmp_path / "new.pt")[0])


def test_an_infinite_loss_never_gets_into_a_checkpoint(tmp_path, monkeypatch):
    """The weights of its step are spoilt, and a training that went on from them would be."""
    monkeypatch.setattr("cxr14.training.watch.EVERY", 4)
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=1e38)
    with pytest.raises(NotFiniteError):
        run(tmp_path / "c.pt", recipe)
    assert not (tmp_path / "c.pt").exists()


def test_a_request_to_stop_leaves_a_checkpoint_at_once_and_the_rest_follows(tmp_path):
    whole, _ = run(tmp_path / "whole.pt")
    stop, steps = StopRequest(), []

    def on_step():
        steps.append(1)
        stop.made = len(steps) == 20

    path = tmp_path / "c.pt"
    with pytest.raises(InterruptedTrainingError, match=rf"^interrupted in epoch 4; .*from {path}$"):
        run(path, stop=stop, on_step=on_step)
    assert len(steps) == 20
    resumed, told = run(path)
    assert told.endswith("3 epochs and 2 steps were done")
    assert same(resumed, whole)


def test_between_two_checkpoints_time_has_to_pass(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", seconds=3600)
    make = make_loop(checkpoint=checkpoint)
    make.run(make_session(tiny()))
    assert not checkpoint.path.exists()
    checkpoint.clear()  # nothing there to remove


def test_without_a_checkpoint_training_is_the_same(tmp_path):
    assert same(run(tmp_path / "c.pt")[0], fit(tiny(), train=part(count=48)))
