"""Synchronization of MLflow runs with the artifacts: adds what is missing, without duplicates."""

from typing import TYPE_CHECKING

from cxr14.tracking.artifacts import Trained
from cxr14.tracking.runs import (
    NAME,
    create_run,
    describe,
    dvc_tags,
    find_origin,
    find_runs,
    log_metrics,
    nest,
)
from cxr14.tracking.store import check_location

if TYPE_CHECKING:
    from mlflow import MlflowClient


REBUILT = "cxr14.rebuilt"


def sync_run(client: "MlflowClient", experiment: str, trained: Trained) -> str:
    """Find or rebuild the run of a trained model, and complete it.

    Returns:
        The id of its finished run with all epochs, metrics and plots.
    """
    run_id = _only_run(client, experiment, trained) or _rebuild(client, experiment, trained)
    check_location(client.get_run(run_id).info.artifact_uri)
    _complete_history(client, run_id, trained)
    known = client.get_run(run_id).data.metrics
    new = {name: value for name, value in trained.metrics().items() if known.get(name) != value}
    log_metrics(client, run_id, new)
    _tag(client, run_id, trained.hashes())
    for stage, path in trained.metric_files():
        client.log_artifact(run_id, str(path), f"metrics/{stage}")
    for stage, folder in trained.plots():
        client.log_artifacts(run_id, str(folder), f"plots/{stage}")
    if client.get_run(run_id).info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")
    return run_id


def _only_run(client: "MlflowClient", experiment: str, trained: Trained) -> str | None:
    """Return the run of this identity, preferably a finished one; delete duplicates."""
    runs = find_runs(client, experiment, trained.identity)
    runs.sort(key=lambda run: run.info.status != "FINISHED")
    for double in runs[1:]:
        client.delete_run(double.info.run_id)
    return str(runs[0].info.run_id) if runs else None


def _tag(client: "MlflowClient", run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def _rebuild(client: "MlflowClient", experiment: str, trained: Trained) -> str:
    model = trained.model
    description = trained.backbone, model["source"], model["phantom"]
    tags = describe(trained.script, *description) | dvc_tags()
    if NAME not in tags:
        tags |= find_origin(trained.backbone)
    tags |= nest(client, experiment, tags)
    tags |= {"DVC_STAGE": trained.stage, REBUILT: "true"}
    return create_run(client, experiment, trained.identity, trained.backbone, model["params"], tags)


def _complete_history(client: "MlflowClient", run_id: str, trained: Trained) -> None:
    """Log the epochs that are missing in the run."""
    logged = {metric.step for metric in client.get_metric_history(run_id, "loss")}
    for row in trained.history():
        step = int(row.pop("epoch"))
        if step not in logged:
            log_metrics(client, run_id, row, step)
