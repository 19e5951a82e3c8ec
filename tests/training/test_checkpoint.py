"""Checkpoints: a training that was killed ends with the weights of one that was not."""

import random
from pathlib import Path

import pytest
import torch

from cxr14.training.checkpoint import Checkpoint
from cxr14.training.distributed import InterruptedTrainingError, StopRequest
from cxr14.training.engine import NotFiniteError
from tests.disks import fill, small_disk
from tests.training.tiny import CHANGES, RECIPE, fit, make_loop, make_session, part, replace, tiny

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


def run(folder, recipe=RECIPE, identity="run", **changes):
    """Train as a new process would, from the checkpoint if there is one."""
    checkpoint = Checkpoint(folder, "c", identity, seconds=0)
    loop = make_loop(train=part(count=48), checkpoint=checkpoint, **changes)
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
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", every)
    whole, _ = run(tmp_path / "whole", RECIPES[name])
    path, dice = tmp_path / "killed", random.Random(name)
    for _ in range(4):  # eight epochs of six steps
        with pytest.raises(Killed):
            run(path, RECIPES[name], on_step=killed_at(dice.randint(1, 11), []))
    resumed, told = run(path, RECIPES[name])
    assert "goes on from" in told
    assert same(resumed, whole)


def test_a_killed_training_goes_on_and_does_not_start_from_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", 1)
    with pytest.raises(Killed):
        run(tmp_path, on_step=killed_at(15, []))
    after: list[int] = []
    _, told = run(tmp_path, on_step=lambda: after.append(1))
    # The killed step was not saved: two epochs of six steps, and two steps of the third.
    assert told == f"goes on from {tmp_path / 'c-run.pt'}: 2 epochs and 2 steps were done"
    assert len(after) == 8 * 6 - 14


def test_a_checkpoint_of_another_run_is_not_used_nor_lost_and_said_so(tmp_path, monkeypatch):
    """One accidental run with other params used to write over the hours of the first."""
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", 1)
    whole, told = run(tmp_path / "whole")
    assert told is None
    folder = tmp_path / "both"
    with pytest.raises(Killed):
        run(folder, on_step=killed_at(15, []))
    trained, told = run(folder, identity="other")
    assert told.startswith(
        f"starts from the beginning: c-run.pt in {folder} is of a run with other params, "
    )
    assert same(trained, whole)
    resumed, told = run(folder)
    assert "2 epochs and 2 steps were done" in told
    assert same(resumed, whole)


def test_a_damaged_checkpoint_is_put_aside_and_said_so(tmp_path):
    whole, _ = run(tmp_path / "whole")
    for number, content in enumerate((b"", b"no checkpoint", None)):
        folder = tmp_path / str(number)
        run(folder)
        path, damaged = folder / "c-run.pt", folder / "c-run.damaged"
        written = path.read_bytes()[:5000] if content is None else content
        path.write_bytes(written)
        trained, told = run(folder)
        assert told.startswith(f"{damaged} cannot be read (")
        assert damaged.read_bytes() == written
        assert same(trained, whole)


def test_a_damaged_checkpoint_may_be_put_aside_by_another_process(tmp_path, monkeypatch):
    """All processes of a training read it, and the second found nothing to rename."""
    run(tmp_path)
    path = tmp_path / "c-run.pt"

    def loaded(*args, **kwargs):
        path.unlink(missing_ok=True)
        raise EOFError

    monkeypatch.setattr(torch, "load", loaded)
    assert "cannot be read (EOFError); starts from the beginning" in run(tmp_path)[1]


@pytest.mark.parametrize("reason", [PermissionError(13, "not yours"), OSError(5, "share is away")])
def test_a_checkpoint_that_cannot_be_reached_stops_the_training(reason, tmp_path, monkeypatch):
    """It used to count as damaged, and the next checkpoint was written over it."""
    run(tmp_path)
    before = (tmp_path / "c-run.pt").read_bytes()

    def fail(*args, **kwargs):
        raise reason

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(type(reason)):
        run(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "c-run.pt").read_bytes() == before


def test_an_infinite_loss_never_gets_into_a_checkpoint(tmp_path, monkeypatch):
    """The weights of its step are spoilt, and a training that went on from them would be."""
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", 4)
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=1e38)
    with pytest.raises(NotFiniteError):
        run(tmp_path, recipe)
    assert not list(tmp_path.iterdir())


def test_a_request_to_stop_leaves_a_checkpoint_at_once_and_the_rest_follows(tmp_path):
    whole, _ = run(tmp_path / "whole")
    stop, steps = StopRequest(), []

    def on_step():
        steps.append(1)
        stop.requested = len(steps) == 20

    path = tmp_path / "c-run.pt"
    with pytest.raises(InterruptedTrainingError, match=rf"^interrupted in epoch 4; .*from {path}$"):
        run(tmp_path, stop=stop, on_step=on_step)
    assert len(steps) == 20
    resumed, told = run(tmp_path)
    assert told.endswith("3 epochs and 2 steps were done")
    assert same(resumed, whole)


@pytest.mark.parametrize("epoch", [7, 8])
def test_a_stop_requested_between_epochs_is_reported_as_such(epoch, tmp_path):
    """A signal during the last validation said `interrupted in epoch 9`, of 8."""
    stop, rows, steps = StopRequest(), [], []

    def on_epoch(row):
        rows.append(row)
        stop.requested = len(rows) == epoch

    with pytest.raises(InterruptedTrainingError, match=rf"^interrupted after epoch {epoch}; "):
        run(tmp_path, stop=stop, on_epoch=on_epoch)
    assert run(tmp_path, on_step=lambda: steps.append(1))[0].epoch == 8
    assert len(steps) == 6 * (8 - epoch)


def test_between_two_checkpoints_time_has_to_pass(tmp_path):
    checkpoint = Checkpoint(tmp_path, "c", "run", seconds=3600)
    make = make_loop(checkpoint=checkpoint)
    make.run(make_session(tiny()))
    assert not checkpoint.path.exists()
    checkpoint.clear()  # nothing there to remove


def test_without_a_checkpoint_training_is_the_same(tmp_path):
    assert same(run(tmp_path)[0], fit(tiny(), train=part(count=48)))


def test_a_checkpoint_that_finds_the_disk_full_is_a_warning_and_training_goes_on(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("cxr14.training.engine.METER_STEPS", 1)
    whole, _ = run(tmp_path / "whole")
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(Killed):
            run(disk, on_step=killed_at(15, []))
        capsys.readouterr()
        before = (disk / "c-run.pt").read_bytes()
        fill(disk)
        trained, told = run(disk)
        assert "2 epochs and 2 steps were done" in told
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("warning: no checkpoint (")
        assert f"the file system {disk} is full" in line
        assert line.endswith("the last one stays, and training goes on")
        assert (disk / "c-run.pt").read_bytes() == before
        assert sorted(path.name for path in disk.iterdir()) == ["c-run.pt", "zeros"]
    assert same(trained, whole)


def test_without_any_place_for_a_checkpoint_training_goes_on(tmp_path, capsys):
    (tmp_path / "file").write_text("in place of the folder")
    whole, _ = run(tmp_path / "whole")
    trained, _ = run_without_resuming(tmp_path / "file")
    assert same(trained, whole)
    (line,) = capsys.readouterr().err.splitlines()
    assert "move the file in place of its folder away" in line
    assert line.endswith("there is none yet, and training goes on")


def test_an_interruption_whose_state_cannot_be_saved_says_where_the_training_starts(tmp_path):
    (tmp_path / "file").write_text("in place of the folder")
    stop = StopRequest()
    stop.requested = True
    with pytest.raises(InterruptedTrainingError, match="the same command starts again"):
        run_without_resuming(tmp_path / "file", stop=stop)


def run_without_resuming(folder, **changes):
    """Train from the start; there is no checkpoint to read."""
    checkpoint = Checkpoint(folder, "c", "run", seconds=0)
    loop = make_loop(train=part(count=48), checkpoint=checkpoint, **changes)
    return loop.run(make_session(tiny(), RECIPE, 48)), None
