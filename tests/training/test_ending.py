"""Failures of one rank: all ranks end soon, with one error."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cxr14.training.distributed import PEER_LOST, explain_exit_codes, is_peer_lost
from tests.training.project import ROOT, write_project

pytestmark = pytest.mark.graph  # starts and kills trainings of several processes

SOON = 15
"""Seconds; the launcher waits 30 for those that do not end at once."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(kind, **changes):
    write_project(processes=2, epochs=1, **changes)
    paths = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    own = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.failing", kind]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr.splitlines()


def seconds_since_the_harm() -> float:
    return time.time() - float(Path("when").read_text())


@pytest.mark.parametrize("kind", ["error", "unnoticed"])
def test_an_error_in_one_process_ends_all_at_once_with_its_one_sentence(kind):
    """The other rank waits in a reduction; SIGTERM used to wait there with it."""
    code, lines = train(kind)
    assert code == 1
    (line,) = lines
    assert line.startswith("error: harm: unknown backbone 'nonet'; ")
    assert seconds_since_the_harm() < SOON


def test_a_process_that_is_killed_is_named():
    sentence = (
        "error: process 1 was ended by SIGKILL, and the others with it; the same command goes on "
        "from the last checkpoint"
    )
    assert train("kill") == (1, [sentence])
    assert seconds_since_the_harm() < SOON


def test_a_loss_that_is_not_finite_is_reported_once():
    wild = {"learning_rate": 100.0, "backbone_rate": 1000.0, "weight_decay": 100.0}
    code, lines = train("nothing", optimizer="sgd", warmup_fraction=0, **wild)
    assert code == 1
    (line,) = lines
    assert re.match(r"error: alexnet: the loss is (nan|inf) in step \d of the epoch; lower", line)


def test_the_launcher_passes_a_stop_request_on_and_a_checkpoint_is_written():
    code, lines = train("terminate")
    assert (code, len(lines)) == (130, 1)
    (checkpoint,) = Path(".scratch/train").glob("alexnet-*.pt")
    told = f"interrupted in epoch 1; the same command goes on from {checkpoint.resolve()}"
    assert lines[0] == told
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] == 4


def test_no_process_trains_on_when_the_launcher_itself_is_killed():
    """They used to finish unseen, beside the next run of the same command."""
    assert train("orphan") == (-signal.SIGKILL, [])  # returns when the last of them is gone
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({0: 1, 1: -signal.SIGTERM}, None),  # rank 0 has reported its error
        ({0: PEER_LOST, 1: 1}, None),
        ({0: -signal.SIGTERM, 1: -signal.SIGKILL}, "process 1 was ended by SIGKILL"),
        ({0: PEER_LOST, 1: -signal.SIGTERM}, "process 1 was ended by SIGTERM"),
        ({0: PEER_LOST, 1: PEER_LOST}, "the processes of the training lost one another"),
    ],
)
def test_the_launcher_explains_what_no_process_could_report(codes, words):
    told = explain_exit_codes(codes)
    assert told == words or (words and told.startswith(words))


def test_only_what_says_that_another_process_is_gone_is_passed_over():
    assert is_peer_lost(torch.distributed.DistBackendError("NCCL communicator was aborted"))
    assert is_peer_lost(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"))
    assert not is_peer_lost(RuntimeError("shapes do not fit"))
    assert not is_peer_lost(ValueError("gloo"))
