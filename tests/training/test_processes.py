"""Several processes that train one network; on CPUs they speak through gloo."""

import os
import subprocess
import sys

import pytest
import torch

from cxr14.io import read_json
from cxr14.training.distributed import Processes, is_launched, process_group, take_gpu
from cxr14.training.validation import validate
from tests.training.project import ROOT
from tests.training.tiny import CPU, make_loop, tiny
from tests.training.together import VAL, train

pytestmark = pytest.mark.graph  # starts and kills trainings of several processes


def launch(*arguments):
    paths = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    own = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    command = [sys.executable, *launcher, "tests.training.together", *map(str, arguments)]
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=300)


def test_two_processes_give_what_one_gives_even_if_one_of_them_is_killed_in_between(tmp_path):
    """The killed one takes the other with it, and the same command goes on from the checkpoint."""
    killed = launch(tmp_path, 1, 21)
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr
    assert not (tmp_path / "weights.pt").exists()
    before = torch.load(tmp_path / "c-run.pt", weights_only=True)["progress"]
    assert (before["epoch"], before["step"]) == (3, 2)
    finished = launch(tmp_path, 1, -1)
    assert finished.returncode == 0, finished.stderr

    alone = train(Processes(), tmp_path / "alone")
    history = read_json(tmp_path / "history.json")
    assert len(history) == len(alone.history) == 8
    for row, expected in zip(history, alone.history, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, expected in alone.best_state.items():
        assert torch.allclose(weights[name], expected, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("kind", ["plain", "averaged"])
def test_what_is_validated_by_all_is_what_is_kept(kind, tmp_path):
    """On CPUs each process used to validate its share with statistics of its own."""
    done = launch(tmp_path, 1, -1, kind)
    assert done.returncode == 0, done.stderr
    network, history = tiny(), read_json(tmp_path / "history.json")
    network.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    loss = make_loop(val=VAL, weighting="batch").loss
    found = validate(network, VAL, loss, 8, 8, CPU, Processes())
    best = max(history, key=lambda row: row["validation_macro_auroc"])
    assert best["validation_loss"] == pytest.approx(found.loss, rel=1e-5)
    assert best["validation_macro_auroc"] == found.macro_auroc


@pytest.mark.parametrize(("found", "allowed"), [(2, True), (1, False)])
def test_each_process_of_a_machine_takes_a_gpu_of_its_own(found, allowed, monkeypatch):
    taken = []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    if allowed:
        take_gpu()
    else:
        with pytest.raises(ValueError, match=r"^train\.processes: 2 .* torch sees 1 GPUs there"):
            take_gpu()
    assert taken == [1] * allowed


@pytest.mark.parametrize(("others", "same"), [((7, 7), True), ((7, 0), False), ((9, 7), False)])
def test_processes_agree_on_a_number_if_the_greatest_is_the_least(others, same, monkeypatch):
    def all_reduce(values, operation):
        assert operation == torch.distributed.ReduceOp.MAX
        values.copy_(torch.stack([values, *(torch.tensor([n, -n]) for n in others)]).amax(0))

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    assert Processes(0, 3).all_equal(7, "cpu") == same
    assert Processes().all_equal(7, "cpu")


def test_a_batch_is_shared_without_gaps_or_overlaps():
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shares = [Processes(rank, 4).shard(order, 8).view(3, 2) for rank in range(4)]
    assert torch.equal(torch.cat(shares, dim=1), order.view(3, 8))


def test_alone_everything_is_as_it_is():
    alone, values = Processes(), torch.tensor([1.0, 2.0])
    assert alone.sum(values) is alone.mean(values) is values
    assert alone.any(True, "cpu")
    assert not alone.any(False, "cpu")
    assert torch.equal(alone.shard(torch.arange(6), 3), torch.arange(6))


def test_another_number_of_processes_than_in_params_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with (
        pytest.raises(ValueError, match=r"^train\.processes is 2, but the launcher started 1; ma"),
        process_group(2, "cpu"),
    ):
        pass
    assert not is_launched()


def test_batch_statistics_are_synchronised_on_gpus_alone(monkeypatch):
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.ReLU())
    Processes(0, 1).synchronize_batchnorm(network, "cuda")
    Processes(0, 2).synchronize_batchnorm(network, "cpu")
    assert type(network[0]) is torch.nn.BatchNorm2d
    names = list(network.state_dict())
    Processes(0, 2).synchronize_batchnorm(network, "cuda")
    assert type(network[0]) is torch.nn.SyncBatchNorm
    assert list(network.state_dict()) == names
