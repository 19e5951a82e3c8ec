"""One training run from files to files."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cxr14.files import read_json, write_csv, write_metrics
from cxr14.findings import CLASSES
from cxr14.models.store import save_model
from cxr14.provenance import code_hash, run_identity
from cxr14.training.checkpoint import SECONDS, Checkpoint
from cxr14.training.device import choose
from cxr14.training.fit import fit
from cxr14.training.inputs import (
    MINED,
    RECORDS,
    Data,
    Tables,
    check_fits,
    check_trainable,
    hash_inputs,
    read_data,
    some_train_images,
    starting_network,
    warn_of_untrainable,
)
from cxr14.training.processes import joined
from cxr14.training.recipe import Recipe
from cxr14.training.session import Progress
from cxr14.training.tracker import Nobody, Tracker

SCRATCH = Path(".scratch/train")


def run_job(
    backbone: str,
    folder: Path,
    head: dict[str, Any],
    loss: dict[str, Any],
    recipe: dict[str, Any],
    start: Callable[..., Tracker | None],
    classes: Sequence[str] = CLASSES,
    seconds: float = SECONDS,
    tables: Tables = MINED,
    name: str | None = None,
    results: Path = Path(),
) -> float | None:
    """Train a backbone and write its model, history and metrics.

    Args:
        backbone: name of the backbone.
        folder: where the model goes.
        head: the block `model`: weights, and what _shape keeps of it.
        loss: the block `loss`: name, weighting, smoothing.
        recipe: the block `train` for this backbone, without backbones and overrides.
        start: opens the tracker, or none: (identity, backbone, params, source=, phantom=).
        classes: what the network predicts, in the order of CLASSES.
        seconds: between two checkpoints.
        tables: the labels and the split.
        name: of history, metrics and checkpoint; that of the backbone if there is none.
        results: the folder that holds plots/train and metrics/train.

    Returns:
        The best macro AUROC on validation; None in all processes but the first.

    Raises:
        ValueError: what cannot work, before the first step; or what went wrong later.
        InterruptedTrainingError: a signal came; the same call goes on from the checkpoint.
    """
    params = {"data": {"findings": list(classes)}, "model": head, "loss": loss, "train": recipe}
    compute = choose(recipe["device"], recipe["precision"], backbone)
    data, name = read_data(classes, tables), name or backbone
    check_fits(recipe, data)
    facts = {"backbone": backbone, "params": params, **_facts(backbone, params, data, tables)}
    checkpoint = Checkpoint(SCRATCH / results / f"{name}.pt", facts["run_identity"], seconds)
    with joined(recipe["processes"], compute.device) as processes:
        if processes.first:
            warn_of_untrainable(facts["untrainable_findings"])
        seen = (some_train_images(data), recipe["input_size"])
        network = starting_network(backbone, _shape(head), recipe["seed"], *seen, classes)
        tracker: Tracker = Nobody()
        if processes.first:
            tracker = start(facts["run_identity"], backbone, params, **_source()) or tracker
        try:
            plan = Recipe.of(recipe)
            how = loss, plan, compute, processes, checkpoint, tracker
            trained = fit(network, backbone, data, *how)
            if processes.first:
                network.load_state_dict(trained.best_state)
                save_model(folder, network, facts | asdict(compute) | _outcome(trained, plan, head))
                _write_history(results, name, trained, data)
        except BaseException:
            tracker.fail()
            raise
        if not processes.first:
            return None
        checkpoint.clear()
        final = {"best_epoch": trained.best_epoch}
        tracker.finish(final | {"best_validation_macro_auroc": trained.best_score})
    return trained.best_score


def _shape(head: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in head.items() if name != "weights"}


def _source() -> dict[str, Any]:
    source = read_json(RECORDS / "source.json")
    return {name: source[name] for name in ("source", "phantom")}


def _facts(backbone: str, params: dict[str, Any], data: Data, tables: Tables) -> dict[str, Any]:
    """Tell what is known before training: inputs, params and code, which are its identity."""
    inputs = hash_inputs(backbone, tables)
    return {
        **_source(),
        "untrainable_findings": check_trainable(data.train_labels, data.classes),
        "inputs": inputs,
        "run_identity": run_identity(inputs, params, code_hash()),
    }


def _outcome(trained: Progress, recipe: Recipe, head: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_size": recipe.input_size,
        "head": _shape(head),
        "epochs": recipe.epochs,
        "best_epoch": trained.best_epoch,
        "validation_macro_auroc": trained.best_score,
    }


def _write_history(results: Path, name: str, trained: Progress, data: Data) -> None:
    write_csv(results / f"plots/train/{name}.csv", pd.DataFrame(trained.history))
    best = trained.history[trained.best_epoch - 1]
    metrics = {
        "phantom": int(_source()["phantom"]),
        "best_epoch": trained.best_epoch,
        "train_loss": best["loss"],
        "train_images": len(data.train_labels),
        "val_images": len(data.val_labels),
        "validation_macro_auroc": trained.best_score,
    }
    write_metrics(results / f"metrics/train/{name}.json", metrics)
