"""Use of the machine, recorded beside a run."""

import threading
import time
from pathlib import Path

import pytest

from cxr14.tracking import runs
from cxr14.tracking.runs import TrainingRun, start_run
from cxr14.tracking.store import connect
from tests.sources import PHANTOM


def begin() -> TrainingRun:
    return start_run("stages/train.py", "a1", "alexnet", {}, PHANTOM)


def monitors() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("SystemMetrics")]


@pytest.fixture
def watched(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    return project


@pytest.mark.parametrize("failed", [False, True])
def test_cpu_and_memory_are_recorded_during_the_run_and_no_thread_outlives_it(
    watched: Path, failed: bool
) -> None:
    run = begin()
    client, _ = connect()
    name = "system/cpu_utilization_percentage"
    while len(client.get_metric_history(run.run_id, name)) < 2:  # the test's timeout ends it
        assert monitors()
        time.sleep(0.1)
    if failed:
        run.fail()
    else:
        run.finish({"loss": 1.0})
    assert monitors() == []
    done = client.get_run(run.run_id)
    assert done.info.status == ("FAILED" if failed else "FINISHED")
    assert {name, "system/system_memory_usage_megabytes"} <= set(done.data.metrics)
    assert 0 < done.data.metrics["system/system_memory_usage_percentage"] < 100


def test_a_finished_run_that_is_trained_again_is_not_watched(watched: Path) -> None:
    begin().finish({})
    again = begin()
    assert monitors() == []
    again.finish({})


def test_a_machine_that_cannot_be_watched_is_trained_on_all_the_same(
    watched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "often")
    run = begin()
    run.log_epoch({"epoch": 1, "loss": 2.0})
    run.finish({})
    assert "warning: no system metrics (ValueError: " in capsys.readouterr().err
    client, _ = connect()
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert client.get_run(run.run_id).data.metrics == {"loss": 2.0}


def test_a_last_sample_that_hangs_does_not_hold_the_training_up(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    asleep = threading.Event()
    monkeypatch.setattr(SystemMetricsMonitor, "finish", lambda self: asleep.wait(60))
    monkeypatch.setattr(SystemMetricsMonitor, "start", lambda self: None)
    monkeypatch.setattr(runs, "PATIENCE", 0.2)
    run = begin()
    before = time.monotonic()
    run.finish({})
    asleep.set()
    assert time.monotonic() - before < 10
