"""The stage `train`, killed for real, and run again."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.io import read_json, sha256, write_parquet
from tests.training.project import ROOT, write_project

pytestmark = pytest.mark.graph  # starts and kills trainings of several processes

MODEL = "models/alexnet/weights.safetensors"


def train(name="SIGKILL", steps=0):
    """Run the stage in a process of its own; one thread, as sums of several may differ."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    own = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.project", name, str(steps)]
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Hashes of the weights and of the history of an uninterrupted training."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("whole"))
        write_project(ema=0.9)
        done = train()
        assert done.returncode == 0, done.stderr
        return sha256(MODEL), sha256("plots/train/alexnet.csv")


def test_killed_twice_and_terminated_once_it_ends_with_the_same_weights(
    whole, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_project(ema=0.9)
    dice = random.Random(4)
    for _ in range(2):  # of 24 steps
        assert train("SIGKILL", dice.randint(6, 8)).returncode == -signal.SIGKILL
        assert not Path("models").exists()
    terminated = train("SIGTERM", 3)
    assert terminated.returncode == 130
    (line,) = terminated.stderr.splitlines()
    assert line.startswith("interrupted in epoch ")
    assert "; the same command goes on from " in line
    (checkpoint,) = Path(".scratch/train").glob("alexnet-*.pt")
    finished = train()
    assert finished.returncode == 0, finished.stderr
    assert "goes on from" in finished.stdout
    assert (sha256(MODEL), sha256("plots/train/alexnet.csv")) == whole
    assert not checkpoint.exists()


def test_two_processes_train_one_network_and_write_it_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(processes=2, epochs=1)
    records = pd.read_parquet("data/records/images.parquet")
    write_parquet("data/records/images.parquet", records.assign(Hernia=np.uint8(0)))
    done = train()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/1") == done.stdout.count("best validation macro AUROC") == 1
    assert done.stderr.count("no positive or no negative image to train on: Hernia") == 1
    assert read_json("models/alexnet/model.json")["params"]["train"]["processes"] == 2
