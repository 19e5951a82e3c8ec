"""One training run from files to files."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

import stages.train
from cxr14.config.blocks import read_loss, read_model, read_train
from cxr14.errors import UserError
from cxr14.io import read_json, write_parquet
from cxr14.labels import LABEL_COLUMNS
from cxr14.training import train as training_runs
from cxr14.training.distributed import Processes
from cxr14.training.train import Job, run_job
from tests.training.project import IMAGES, write_project


class Follower:
    """A tracker that records its calls."""

    def __init__(self):
        self.calls = []

    def log_epoch(self, row):
        self.calls.append("epoch")

    def finish(self, metrics):
        self.calls.append("finish")

    def fail(self):
        self.calls.append("fail")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(epochs=1)


def train(tracker, **more):
    params = read_model(), read_loss(), read_train().for_backbone("alexnet")
    job = Job("alexnet", *params, Path("models/alexnet"), "alexnet", "AlexNet")
    return run_job(job, lambda *_, **__: tracker, **{"seconds": 60} | more)


def checkpoints():
    return list(Path(".scratch/train").glob("*.pt"))


def test_a_tracker_receives_every_epoch_and_the_end():
    follower = Follower()
    score = train(follower)
    assert follower.calls == ["epoch", "finish"]
    assert read_json("models/alexnet/model.json")["validation_macro_auroc"] == score


def test_without_a_tracker_training_goes_on():
    assert train(None) == read_json("models/alexnet/model.json")["validation_macro_auroc"]


def test_a_model_that_cannot_be_written_is_a_failed_run_and_its_checkpoint_stays(monkeypatch):
    """A full disk used to leave a run that seemed to go on for ever."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_runs, "save_model", full)
    follower = Follower()
    with pytest.raises(OSError, match="No space left"):
        train(follower, seconds=0)
    assert follower.calls == ["epoch", "fail"]
    assert len(checkpoints()) == 1


def test_the_checkpoint_lies_in_the_original_repository_also_under_temp(monkeypatch, tmp_path):
    """It lay in the temporary workspace, which the next `dvc exp run --temp` does not see."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "original"))
    monkeypatch.setattr(training_runs, "save_model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(None, seconds=0)
    assert checkpoints() == []
    assert len(list(Path("original/.scratch/train").glob("alexnet-*.pt"))) == 1


def test_a_checkpoint_stays_until_the_tracker_knows_of_the_end():
    """A server that hung there was interrupted, and the whole training was to do again."""

    class Interrupted(Follower):
        def finish(self, metrics):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), seconds=0)
    assert len(checkpoints()) == 1
    train(None)
    assert checkpoints() == []


def test_processes_that_do_not_see_the_same_checkpoint_are_refused(monkeypatch):
    """As on hosts that share no files: they would wait for steps that never come."""
    monkeypatch.setattr(Processes, "all_equal", lambda *_: False)
    message = r"^alexnet: the processes do not see the same checkpoint \S+/\.scratch/train/alexnet-[0-9a-f]{16}\.pt;"
    with pytest.raises(ValueError, match=message):
        train(None)


def test_a_misspelt_backbone_among_the_overrides_is_refused():
    """It was never read, so its recipe silently did not apply."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"]["overrides"] = {"gogglenet": {"epochs": 3}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    told = r"^train\.overrides: unknown backbone 'gogglenet'; near it: googlenet"
    with pytest.raises(ValueError, match=told):
        stages.train.main("alexnet")


def test_a_val_part_without_positives_ends_the_run_before_its_first_step():
    """It ended after the first epoch, hours into a training on the real set."""
    records = pd.read_parquet("data/records/images.parquet")
    records.loc[records.index[IMAGES:], list(LABEL_COLUMNS)] = 0
    write_parquet("data/records/images.parquet", records)
    follower = Follower()
    with pytest.raises(
        UserError, match=r"among the 48 images of val, .* raise split\.val_fraction"
    ):
        train(follower)
    assert follower.calls == []
    assert not checkpoints()


def test_a_wrong_key_of_a_late_stage_ends_the_stage_before_its_first_step(monkeypatch):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["localize"]["method"] = "gradcams"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=r"localize\.method = 'gradcams'"):
        stages.train.main("alexnet")
    assert not checkpoints()
