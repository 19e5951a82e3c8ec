"""One training run from files to files."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cxr14.files import read_json, write_csv, write_metrics
from cxr14.models.network import Network
from cxr14.models.store import save_model
from cxr14.provenance import code_hash, run_identity
from cxr14.training.augment import Augment
from cxr14.training.device import Compute, choose
from cxr14.training.inputs import (
    RECORDS,
    Data,
    check_size,
    check_trainable,
    hash_inputs,
    read_data,
    some_train_images,
    starting_network,
)
from cxr14.training.loop import Recipe, Trained, train
from cxr14.training.losses import make_loss
from cxr14.training.parts import Part, load_part, steps_per_epoch


class Tracker(Protocol):
    """Somebody who follows a run; MLflow's is cxr14.tracking.runs.TrainingRun."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Take the row of one epoch."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Take the final numbers."""

    def fail(self) -> None:
        """Learn that the run ended without a model."""


def run_job(
    backbone: str,
    folder: Path,
    head: dict[str, Any],
    loss: dict[str, Any],
    recipe: dict[str, Any],
    start: Callable[..., Tracker],
) -> float:
    """Train a backbone and write its model, history and metrics.

    Args:
        backbone: name of the backbone.
        folder: where the model goes.
        head: the block `model`: weights, transition_channels, pooling, lse_r.
        loss: the block `loss`: name, weighting, smoothing.
        recipe: the block `train` for this backbone, without backbones and overrides.
        start: opens the tracker: (identity, backbone, params, source=, phantom=).

    Returns:
        The best macro AUROC on validation.
    """
    params = {"model": head, "loss": loss, "train": recipe}
    compute = choose(recipe["device"], recipe["precision"], backbone)
    data = read_data()
    check_size(recipe["input_size"], data)
    facts = {"backbone": backbone, "params": params, **_facts(backbone, params, data)}
    seen = (some_train_images(data), recipe["input_size"])
    network = starting_network(backbone, _shape(head), recipe["seed"], *seen)
    tracker = start(facts["run_identity"], backbone, params, **_source())
    try:
        parts = _load_parts(data, recipe["input_size"], compute.device)
        trained = _fit(network, *parts, loss, recipe, compute, tracker, backbone)
    except BaseException:
        tracker.fail()
        raise
    network.load_state_dict(trained.state)
    save_model(folder, network, facts | asdict(compute) | _outcome(trained, recipe, head))
    _write_history(backbone, trained, data)
    tracker.finish(
        {"best_epoch": trained.best_epoch, "best_validation_macro_auroc": trained.best_score}
    )
    return trained.best_score


def _shape(head: dict[str, Any]) -> dict[str, Any]:
    return {name: head[name] for name in ("transition_channels", "pooling", "lse_r")}


def _source() -> dict[str, Any]:
    source = read_json(RECORDS / "source.json")
    return {name: source[name] for name in ("source", "phantom")}


def _facts(backbone: str, params: dict[str, Any], data: Data) -> dict[str, Any]:
    """Tell what is known before training: inputs, params and code, which are its identity."""
    inputs = hash_inputs(backbone)
    return {
        **_source(),
        "untrainable_findings": check_trainable(data.train_labels),
        "inputs": inputs,
        "run_identity": run_identity(inputs, params, code_hash()),
    }


def _outcome(trained: Trained, recipe: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_size": recipe["input_size"],
        "head": _shape(head),
        "epochs": recipe["epochs"],
        "best_epoch": trained.best_epoch,
        "validation_macro_auroc": trained.best_score,
    }


def _load_parts(data: Data, size: int, device: str) -> tuple[Part, Part]:
    """Open train at the training size and validation at the cache's, as `evaluate` sees it."""
    cached = data.images.shape[1]
    return (
        load_part(data.images, data.train_rows, data.train_labels, size, device),
        load_part(data.images, data.val_rows, data.val_labels, cached, device),
    )


def _fit(
    network: Network,
    train_part: Part,
    val_part: Part,
    loss: dict[str, Any],
    recipe: dict[str, Any],
    compute: Compute,
    tracker: Tracker,
    backbone: str,
) -> Trained:
    """Train under a progress bar."""
    plan = {name: recipe[name] for name in Recipe.__dataclass_fields__ if name != "augment"}
    settings = Recipe(**plan, augment=Augment(**recipe["augment"]))
    objective = make_loss(**loss, train_labels=train_part.labels)
    steps = settings.epochs * steps_per_epoch(len(train_part.labels), settings.batch_size)
    with _progress() as progress:
        task = progress.add_task(backbone, total=steps)

        def on_epoch(row: dict[str, float]) -> None:
            tracker.log_epoch(row)
            progress.console.print(
                f"{backbone} epoch {row['epoch']:.0f}/{settings.epochs}  loss {row['loss']:.3f}  "
                f"validation macro AUROC {row['validation_macro_auroc']:.3f}"
            )

        return train(
            network,
            train_part,
            val_part,
            objective,
            settings,
            compute,
            on_epoch,
            lambda: progress.advance(task),
        )


def _progress() -> Progress:
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*bar, TextColumn("steps"), TimeRemainingColumn())


def _write_history(backbone: str, trained: Trained, data: Data) -> None:
    write_csv(f"plots/train/{backbone}.csv", pd.DataFrame(trained.history))
    best = trained.history[trained.best_epoch - 1]
    metrics = {
        "phantom": int(_source()["phantom"]),
        "best_epoch": trained.best_epoch,
        "train_loss": best["loss"],
        "train_images": len(data.train_labels),
        "val_images": len(data.val_labels),
        "validation_macro_auroc": trained.best_score,
    }
    write_metrics(f"metrics/train/{backbone}.json", metrics)
