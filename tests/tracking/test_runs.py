"""What a training leaves in MLflow, and what it replaces there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cxr14.tracking.runs import TrainingRun, find_runs, flatten, start_run
from cxr14.tracking.store import connect
from tests.sources import PHANTOM
from tests.tracking.servers import free_port

PARAMS = {"train": {"epochs": 2, "augment": {"flip": 0.5}}, "model": {"pooling": "avg"}}


def started(identity: str) -> TrainingRun | None:
    script = "stages/chexnext/train.py"
    return start_run(script, identity, "alexnet", PARAMS, PHANTOM)


def begin(identity: str = "a1") -> TrainingRun:
    run = started(identity)
    assert run is not None
    return run


def epoch(number: int, loss: float) -> dict[str, float]:
    return {"epoch": number, "loss": loss, "learning_rate": 0.1, "validation_macro_auroc": 0.5}


def test_a_finished_run_holds_params_tags_every_epoch_and_the_final_metrics(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-idea")
    run = begin()
    run.log_epoch(epoch(1, 2.0))
    run.log_epoch(epoch(2, 1.0))
    run.finish({"best_epoch": 2, "unscored": float("nan")})

    client, experiment = connect()
    (found,) = find_runs(client, experiment, "a1")
    assert found.info.status == "FINISHED"
    assert found.data.params == {
        "train.epochs": "2",
        "train.augment.flip": "0.5",
        "model.pooling": "avg",
    }
    wanted = {"backbone": "alexnet", "source": "phantom", "phantom": "true", "cxr14.identity": "a1"}
    wanted |= {"mlflow.source.name": "stages/chexnext/train.py"}  # it was stages/train.py for all
    assert (wanted | {"DVC_EXP_NAME": "brave-idea"}).items() <= found.data.tags.items()
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.0)]
    assert found.data.metrics["best_epoch"] == 2
    assert "unscored" not in found.data.metrics


def test_training_the_same_thing_again_leaves_the_finished_run_as_it_is(project: Path) -> None:
    first = begin()
    first.log_epoch(epoch(1, 2.0))
    first.finish({})
    again = begin()
    again.log_epoch(epoch(1, 9.0))
    again.finish({"loss": 9.0})
    client, experiment = connect()
    (found,) = find_runs(client, experiment, "a1")
    assert again.run_id == first.run_id == found.info.run_id
    assert len(client.get_metric_history(first.run_id, "loss")) == 1


@pytest.mark.parametrize("failed", [False, True])
def test_a_killed_or_failed_run_is_replaced(project: Path, failed: bool) -> None:
    killed = begin()
    killed.log_epoch(epoch(1, 2.0))
    if failed:
        killed.fail()
    other = begin("b2")
    new = begin()
    client, experiment = connect()
    assert [run.info.run_id for run in find_runs(client, experiment, "a1")] == [new.run_id]
    assert client.get_metric_history(new.run_id, "loss") == []
    assert [run.info.run_id for run in find_runs(client, experiment, "b2")] == [other.run_id]


def test_tracking_that_breaks_warns_once_and_lets_the_training_go_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin()
    connect()[0].delete_run(run.run_id)  # somebody deletes it in the UI meanwhile
    run.log_epoch(epoch(1, 2.0))
    run.log_epoch(epoch(2, 2.0))
    run.finish({"loss": 1.0})
    stderr = capsys.readouterr().err
    assert stderr.count("warning: MLflow tracking stopped") == 1
    assert "training goes on" in stderr


@pytest.fixture
def away(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that does not answer, and of a user with a password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://ann:secret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def test_a_server_that_is_away_is_told_in_a_line_and_training_goes_on_without_a_run(
    away: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It used to end the training before its first step, with a traceback if it went away late."""
    assert started("a1") is None
    (line,) = capsys.readouterr().err.splitlines()
    address = away.replace("secret", "***")
    assert line.startswith(
        f"warning: no MLflow run for alexnet (MLflow's store {address} cannot be used: "
    )
    assert "training goes on, and `make register` records it" in line
    assert "secret" not in line


def test_a_locked_database_is_told_in_a_line_and_training_goes_on_without_a_run(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("b2").finish({})
    uri = f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{uri}?timeout=0.1")  # five seconds by default
    with closing(sqlite3.connect(project / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert started("a1") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: no MLflow run for alexnet (MLflow's store {uri}")
    assert "database is locked" in line


def test_nested_params_become_joined_keys() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]}, "/") == {"a/b": 1, "d": [1, 2]}
