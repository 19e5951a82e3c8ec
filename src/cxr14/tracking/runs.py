"""MLflow runs of trainings: params, metrics by epoch, tags, system metrics.

A run is identified by a hash of everything that determines the training. Each training is recorded
once: a finished run is kept, a killed one is replaced. Runs of ``dvc exp`` have a parent run.
"""

import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from cxr14.datasets.records import Source
from cxr14.tracking.store import connect, first_line, lock, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


NAME, BASELINE = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"
DVC_VARIABLES = (NAME, BASELINE, "DVC_STAGE")
"""Environment variables of DVC that become tags."""

IDENTITY = "cxr14.identity"
GIT_COMMIT = "mlflow.source.git.commit"
KIND = "cxr14.kind"
PARENT = "dvc exp"


def nest(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tag of the parent run of an experiment; create the parent if it is missing.

    Call it under the store's lock, so that concurrent trainings share one parent.

    Args:
        client: of the store.
        experiment: id of MLflow's experiment.
        tags: of the run.

    Returns:
        The tag; empty without DVC_EXP_NAME.
    """
    if NAME not in tags:
        return {}
    dvc_exp = {name: tags[name] for name in (NAME, BASELINE) if name in tags}
    for run in client.search_runs([experiment], f"tags.`{KIND}` = '{PARENT}'"):
        known = run.data.tags
        if {name: known[name] for name in (NAME, BASELINE) if name in known} == dvc_exp:
            return {"mlflow.parentRunId": run.info.run_id}
    parent = client.create_run(experiment, tags={KIND: PARENT, **dvc_exp}, run_name=tags[NAME])
    client.set_terminated(parent.info.run_id, "FINISHED")
    return {"mlflow.parentRunId": parent.info.run_id}


INTERVAL = 5  # seconds between samples of system metrics
PATIENCE = 5  # seconds to wait for the last sample at the end of a training


def monitor_system(run_id: str) -> Callable[[], None]:
    """Start MLflow's monitor of ``system/…`` metrics (CPU, memory, disk, network, GPU) in a run.

    MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false turns it off.
    MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL (seconds) changes the interval. The monitor is a daemon
    thread, and its errors do not stop the training.

    Returns:
        A function that stops the monitor; a second call does nothing.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    switch: Any = MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING  # tracking.store turns it on
    if not switch.get():
        return lambda: None
    try:
        monitor_class: Any = SystemMetricsMonitor  # without types
        monitor = monitor_class(run_id, sampling_interval=INTERVAL)
    except Exception as error:  # of a driver or a sensor
        print(f"warning: no system metrics ({type(error).__name__}: {error})", file=sys.stderr)
        return lambda: None
    monitor.start()

    def stop() -> None:
        ending = Thread(target=monitor.finish, daemon=True)  # it may wait for a server
        ending.start()
        ending.join(PATIENCE)

    return stop


_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
"""Git ref of a DVC experiment: baseline commit (in two parts) and name."""


def find_origin(backbone: str) -> dict[str, str]:
    """Find the oldest DVC experiment that trained the model in the work tree.

    The dvc.lock of the experiment holds the hash of the model, and that of its baseline does not.

    Returns:
        DVC_EXP_NAME and DVC_EXP_BASELINE_REV, as DVC sets them; empty without a match.
    """
    here = Path("dvc.lock")
    model = _model_in(here.read_text(), backbone) if here.exists() else None
    if model is None:
        return {}
    for ref in git_lines("for-each-ref", "--sort=creatordate", "--format=%(refname)", "refs/exps"):
        parts = _REF.fullmatch(ref)
        if parts is None:
            continue
        baseline = parts[1] + parts[2]
        if _locked(ref, backbone) == model != _locked(baseline, backbone):
            return {NAME: parts[3], BASELINE: baseline}
    return {}


def _locked(commit: str, backbone: str) -> str | None:
    return _model_in("\n".join(git_lines("show", f"{commit}:./dvc.lock")), backbone)


def _model_in(lock: str, backbone: str) -> str | None:
    """Return the hash of models/<backbone> in the text of a dvc.lock; None if missing."""
    match = re.search(rf"path: models/{re.escape(backbone)}\n\s+hash: md5\n\s+md5: (\S+)", lock)
    return match[1] if match else None


def git_lines(*arguments: str) -> list[str]:
    """Return the output lines of git; an empty list if it fails, as outside of a repository."""
    if shutil.which("git") is None:
        return []
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


class TrainingRun:
    """MLflow run of a training; errors of tracking never stop the training."""

    def __init__(self, client: "MlflowClient", run_id: str, recording: bool) -> None:
        self.run_id = run_id
        self._client = client
        self._recording = recording  # False: the run was finished before, or tracking failed
        self._stop_monitor = monitor_system(run_id) if recording else None

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Record one epoch: ``epoch`` (the step) and any other numbers."""
        step = int(row["epoch"])
        values = {name: value for name, value in row.items() if name != "epoch"}
        self._attempt(lambda: log_metrics(self._client, self.run_id, values, step))

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Record the final metrics (names differ from log_epoch's); mark the run as finished."""
        self._attempt(lambda: log_metrics(self._client, self.run_id, metrics))
        self._end("FINISHED")

    def fail(self) -> None:
        """Mark the run as failed; the next training of this identity replaces it."""
        self._end("FAILED")

    def _end(self, status: str) -> None:
        if self._stop_monitor is not None:
            self._stop_monitor()
        self._attempt(lambda: self._client.set_terminated(self.run_id, status))
        self._recording = False

    def _attempt(self, action: Callable[[], None]) -> None:
        if not self._recording:
            return
        try:
            action()
        except Exception as error:
            self._recording = False
            print(
                f"warning: MLflow tracking stopped ({first_line(error)}); training goes on, and "
                f"`make register` records it from its artifacts",
                file=sys.stderr,
            )


def start_run(
    script: str,
    identity: str,
    backbone: str,
    params: Mapping[str, Any],
    source: Source,
) -> TrainingRun | None:
    """Start the run of a training, or return the finished run of the same identity.

    If that fails (server unreachable, database locked), training continues without a run, and
    `make register` records it from its artifacts.

    Args:
        script: the stage that trains, such as stages/train.py.
        identity: hash of the training's inputs, params and code.
        backbone: name of the trained network in tables.
        params: nested mapping, recorded as ``train.learning_rate`` and so on.
        source: of the images.

    Returns:
        The run; None after a warning if it cannot be created.
    """
    try:
        tags = describe(script, backbone, source.name, source.phantom)
        return _begin(identity, backbone, params, tags)
    except Exception as error:  # of MLflow, the database below it, the network
        print(
            f"warning: no MLflow run for {backbone} ({first_line(error)}); training goes on, and "
            f"`make register` records it from its artifacts once the store can be used",
            file=sys.stderr,
        )
        return None


def _begin(
    identity: str, backbone: str, params: Mapping[str, Any], described: Mapping[str, str]
) -> TrainingRun:
    client, experiment = connect()
    with lock(), store_errors():
        runs = find_runs(client, experiment, identity)
        for run in runs:
            if run.info.status == "FINISHED":
                return TrainingRun(client, run.info.run_id, recording=False)
        for run in runs:
            client.delete_run(run.info.run_id)
        tags = {**described, **dvc_tags()}
        tags |= nest(client, experiment, tags)
        run_id = create_run(client, experiment, identity, backbone, params, tags)
    return TrainingRun(client, run_id, recording=True)


def find_runs(client: "MlflowClient", experiment: str, identity: str) -> list["Run"]:
    """Return the runs of an identity in any state, oldest first."""
    where = f"tags.`{IDENTITY}` = '{identity}'"
    return list(client.search_runs([experiment], where, order_by=["attributes.start_time ASC"]))


def create_run(
    client: "MlflowClient",
    experiment: str,
    identity: str,
    backbone: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """Create a run with its tags and params and return its id."""
    from mlflow.entities import Param

    name = f"{backbone}-{identity[:7]}"
    run = client.create_run(experiment, tags={IDENTITY: identity, **tags}, run_name=name)
    flat = flatten(params, ".")
    client.log_batch(run.info.run_id, params=[Param(key, str(flat[key])) for key in sorted(flat)])
    return str(run.info.run_id)


def log_metrics(
    client: "MlflowClient", run_id: str, values: Mapping[str, Any], step: int = 0
) -> None:
    """Record metrics in one call, without None and NaN."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    known = {name: float(value) for name, value in values.items() if value is not None}
    metrics = [
        Metric(name, known[name], now, step) for name in sorted(known) if math.isfinite(known[name])
    ]
    client.log_batch(run_id, metrics=metrics)


def flatten(nested: Mapping[str, Any], separator: str, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a nested mapping under joined keys.

    >>> flatten({"train": {"epochs": 8, "augment": {"flip": 0.0}}}, ".")
    {'train.epochs': 8, 'train.augment.flip': 0.0}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, separator, f"{prefix}{key}{separator}")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def describe(script: str, backbone: str, source: str, phantom: bool) -> dict[str, str]:
    """Return the tags of a training: backbone, source, phantom, script, git commit.

    Under ``dvc exp`` the commit is that of the experiment's baseline.
    """
    tags = {"backbone": backbone, "source": source, "phantom": str(phantom).lower()}
    tags |= {"mlflow.source.name": script, "mlflow.source.type": "LOCAL"}
    commit = git_lines("rev-parse", "HEAD")
    return tags | ({GIT_COMMIT: commit[0]} if commit else {})


def dvc_tags() -> dict[str, str]:
    """Return the environment variables that DVC sets for a stage, as tags."""
    return {name: os.environ[name] for name in DVC_VARIABLES if os.environ.get(name)}
