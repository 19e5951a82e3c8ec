"""One training run from files to files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cxr14.data.stored import read_source
from cxr14.files import project_root, write_csv, write_metrics
from cxr14.findings import CLASSES
from cxr14.models.store import save_model
from cxr14.provenance import code_hash, run_identity
from cxr14.training.checkpoint import Checkpoint
from cxr14.training.device import Compute, choose
from cxr14.training.fit import fit
from cxr14.training.inputs import (
    MINED,
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

SCRATCH = ".scratch/train"

Start = Callable[..., Tracker | None]
"""Opens a tracker, or none: (identity, title, params, source=, phantom=)."""


@dataclass(frozen=True)
class Job:
    """What is trained on what, and where its files go.

    Attributes:
        backbone: name of the backbone.
        folder: where the model goes.
        name: of history, metrics and checkpoint.
        title: what trackers call it.
        classes: what the network predicts, in the order of CLASSES.
        tables: the labels and the split.
        results: the folder that holds plots/train and metrics/train.
    """

    backbone: str
    folder: Path
    name: str
    title: str
    classes: Sequence[str] = CLASSES
    tables: Tables = MINED
    results: Path = Path()


def run_job(
    job: Job, blocks: Mapping[str, dict[str, Any]], start: Start, seconds: float
) -> float | None:
    """Train a backbone and write its model, history and metrics.

    Args:
        job: what and where.
        blocks: of params.yaml: `model`, `loss`, and this backbone's `train`, without `backbones`
            and `overrides`.
        start: opens the tracker.
        seconds: between two checkpoints.

    Returns:
        The best macro AUROC on validation; None in all processes but the first.

    Raises:
        UserError: what cannot work, before the first step; or what went wrong later.
        InterruptedTrainingError: a signal came; the same call goes on from the checkpoint.
    """
    recipe = blocks["train"]
    compute = choose(recipe["device"], recipe["precision"], job.backbone)
    data = read_data(job.classes, job.tables)
    check_fits(recipe, data)
    params = {"data": {"findings": list(job.classes)}, **blocks}
    facts = _facts(job, params, data, compute)
    place = project_root() / SCRATCH / job.results / job.name
    checkpoint = Checkpoint(place.parent, place.name, facts["run_identity"], seconds)
    with joined(recipe["processes"], compute.device) as processes:
        if processes.first:
            warn_of_untrainable(facts["untrainable_findings"])
        shape = {name: value for name, value in blocks["model"].items() if name != "weights"}
        network = starting_network(
            job.backbone, shape, some_train_images(data), recipe, job.classes
        )
        with _followed(start if processes.first else None, job, facts) as tracker:
            trained = fit(
                network,
                job.backbone,
                data,
                loss=blocks["loss"],
                recipe=Recipe.of(recipe),
                compute=compute,
                processes=processes,
                checkpoint=checkpoint,
                tracker=tracker,
            )
            if not processes.first:
                return None
            network.load_state_dict(trained.best_state)
            save_model(job.folder, network, facts | _outcome(trained, recipe, shape))
            _write_history(job, trained, data, facts["phantom"])
        final = {"best_epoch": trained.best_epoch}
        tracker.finish(final | {"best_validation_macro_auroc": trained.best_score})
        checkpoint.clear()  # not before: a server that hangs may be interrupted
    return trained.best_score


@contextmanager
def _followed(start: Start | None, job: Job, facts: Mapping[str, Any]) -> Iterator[Tracker]:
    """Give a tracker, which learns if the block fails; what ends well tells it so itself."""
    source = {name: facts[name] for name in ("source", "phantom")}
    opened = start(facts["run_identity"], job.title, facts["params"], **source) if start else None
    tracker = opened or Nobody()
    try:
        yield tracker
    except BaseException:
        tracker.fail()
        raise


def _facts(job: Job, params: dict[str, Any], data: Data, compute: Compute) -> dict[str, Any]:
    """Tell what is known before training, and so its identity."""
    source = read_source()
    inputs = hash_inputs(job.backbone, job.tables)
    computed = asdict(compute)
    identity = run_identity(inputs, params, code_hash(), computed | {"torch": torch.__version__})
    return {
        "backbone": job.backbone,
        "params": params,
        **{name: source[name] for name in ("source", "phantom")},
        "untrainable_findings": check_trainable(data.train_labels, data.classes),
        "inputs": inputs,
        **computed,
        "run_identity": identity,
    }


def _outcome(
    trained: Progress, recipe: Mapping[str, Any], shape: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "input_size": recipe["input_size"],
        "head": shape,
        "epochs": recipe["epochs"],
        "best_epoch": trained.best_epoch,
        "validation_macro_auroc": trained.best_score,
    }


def _write_history(job: Job, trained: Progress, data: Data, phantom: bool) -> None:
    write_csv(job.results / f"plots/train/{job.name}.csv", pd.DataFrame(trained.history))
    best = trained.history[trained.best_epoch - 1]
    metrics = {
        "phantom": int(phantom),
        "best_epoch": trained.best_epoch,
        "train_loss": best["loss"],
        "train_images": len(data.train_labels),
        "val_images": len(data.val_labels),
        "validation_macro_auroc": trained.best_score,
    }
    write_metrics(job.results / f"metrics/train/{job.name}.json", metrics)
