"""One training run from files to files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from cxr14.console import TrainingProgress, training_progress
from cxr14.datasets.records import read_source
from cxr14.errors import UserError
from cxr14.io import project_root, write_csv, write_metrics
from cxr14.labels import CLASSES
from cxr14.models.inference import Compute, resolve_compute
from cxr14.models.network import Network
from cxr14.models.serialization import save_model
from cxr14.training.checkpoint import Checkpoint, code_hash, run_identity
from cxr14.training.dataset import SplitData, load_split, steps_per_epoch
from cxr14.training.distributed import (
    MULTI_PROCESS_SIGNALS,
    SIGNALS,
    Processes,
    process_group,
    stop_request,
)
from cxr14.training.engine import Loop, NotFiniteError, Progress, Row, Session
from cxr14.training.inputs import (
    DEFAULT_TABLES,
    Data,
    Tables,
    check_fits,
    check_scorable,
    check_trainable,
    hash_inputs,
    initial_network,
    initialization_images,
    read_data,
    warn_of_untrainable,
)
from cxr14.training.losses import make_loss
from cxr14.training.optim import Recipe


class Tracker(Protocol):
    """Receiver of epochs and metrics of a run; MLflow's is cxr14.tracking.runs.TrainingRun."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Take the row of one epoch."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Take the final numbers."""

    def fail(self) -> None:
        """Mark the run as failed."""


class NoTracker:
    """A tracker that does nothing, for ranks other than 0."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Do nothing."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def fail(self) -> None:
        """Do nothing."""


@contextmanager
def explain_failures(backbone: str, images: list[str]) -> Iterator[None]:
    """Turn a loss that is not finite, and memory that does not suffice, into advice.

    Args:
        backbone: what is trained.
        images: names, in the order of the train part.

    Raises:
        UserError: with the advice.
    """
    try:
        yield
    except NotFiniteError as error:
        batch = ", ".join(images[index] for index in error.indices.tolist())
        raise UserError(
            f"{backbone}: {error} of the epoch; lower train.learning_rate, or look at the images "
            f"of that batch: {batch}"
        ) from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{backbone}: out of memory; lower train.batch_size or train.input_size "
            f"(train.overrides.{backbone} changes them for this backbone alone)"
        ) from error


MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Of CPUs, of the driver (pinned memory, events), of a library's own workspace."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says so; torch has a class for its own memory of GPUs, else texts."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in MEMORY)


# From images and labels in memory to trained weights, whatever comes in between.


def fit(
    network: Network,
    backbone: str,
    data: Data,
    loss: dict[str, Any],
    recipe: Recipe,
    compute: Compute,
    processes: Processes,
    checkpoint: Checkpoint,
    tracker: Tracker,
) -> Progress:
    """Train from the checkpoint or from the start, under a progress bar.

    Args:
        network: changed in place.
        backbone: its name, for messages.
        data: images and labels of train and validation.
        loss: the block `loss` of params.yaml.
        recipe: how to train.
        compute: device, precision and memory format.
        processes: those that train together.
        checkpoint: where a training that was interrupted goes on from.
        tracker: gets every epoch, also those before an interruption.

    Raises:
        UserError: the loss or the scores are no longer finite, memory does not suffice, or the
            processes would go on from different places.
        InterruptedTrainingError: a signal came.
    """
    train_split, val_split = _load_parts(data, recipe.input_size, compute.device)
    steps = steps_per_epoch(len(train_split.labels), recipe.batch_size)
    processes.synchronize_batchnorm(network, compute.device)
    with (
        explain_failures(backbone, data.train_images),
        training_progress(
            backbone, steps * recipe.epochs, recipe.epochs, not processes.is_main
        ) as progress,
        stop_request(SIGNALS if processes.world_size == 1 else MULTI_PROCESS_SIGNALS) as stop,
    ):
        session = Session(network, recipe, compute, steps * recipe.epochs)
        _resume(session, checkpoint, steps, processes, progress)
        for row in session.progress.history:
            tracker.log_epoch(row)

        def on_epoch(row: Row) -> None:
            progress.epoch(row)
            tracker.log_epoch(row)

        objective = make_loss(**loss, train_labels=train_split.labels)
        loop = Loop(
            train_split, val_split, objective, recipe, compute, processes, checkpoint, stop,
            on_epoch, progress.step,
        )  # fmt: skip
        return loop.run(session)


def _resume(
    session: Session,
    checkpoint: Checkpoint,
    steps: int,
    processes: Processes,
    progress: TrainingProgress,
) -> None:
    """Resume from the checkpoint if there is one, with all processes at the same step.

    Raises:
        UserError: the processes resume at different steps.
    """
    message = checkpoint.resume(session)
    if message:
        progress.print_line(message)
    step = session.progress.epoch * steps + session.progress.step
    if not processes.all_equal(step, session.compute.device):
        raise UserError(
            f"{session.network.backbone}: the processes do not see the same checkpoint "
            f"{checkpoint.path}; let all hosts share the repository's files, or remove it"
        )
    progress.set_step(step)


def _load_parts(data: Data, size: int, device: str) -> tuple[SplitData, SplitData]:
    """Open train at the training size and validation at the cache's, as `evaluate` sees it."""
    cached = data.images.shape[1]
    return (
        load_split(data.images, data.train_rows, data.train_labels, size, device, data.classes),
        load_split(data.images, data.val_rows, data.val_labels, cached, device, data.classes),
    )


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
    tables: Tables = DEFAULT_TABLES
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
    compute = resolve_compute(recipe["device"], recipe["precision"], job.backbone)
    data = read_data(job.classes, job.tables)
    check_fits(recipe, data)
    untrainable = check_trainable(data.train_labels, data.classes)
    check_scorable(data.val_labels, untrainable, data.classes)
    params = {"data": {"findings": list(job.classes)}, **blocks}
    facts = _facts(job, params, data, compute, untrainable)
    path = project_root() / SCRATCH / job.results / job.name
    checkpoint = Checkpoint(path.parent, path.name, facts["run_identity"], seconds)
    with process_group(recipe["processes"], compute.device) as processes:
        if processes.is_main:
            warn_of_untrainable(facts["untrainable_findings"])
        shape = {name: value for name, value in blocks["model"].items() if name != "weights"}
        network = initial_network(
            job.backbone, shape, initialization_images(data), recipe, job.classes
        )
        with _followed(start if processes.is_main else None, job, facts) as tracker:
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
            if not processes.is_main:
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
    """Yield a tracker, and mark its run as failed if the block raises."""
    source = {name: facts[name] for name in ("source", "phantom")}
    opened = start(facts["run_identity"], job.title, facts["params"], **source) if start else None
    tracker = opened or NoTracker()
    try:
        yield tracker
    except BaseException:
        tracker.fail()
        raise


def _facts(
    job: Job, params: dict[str, Any], data: Data, compute: Compute, untrainable: list[str]
) -> dict[str, Any]:
    """Return what is known before training, including the run identity."""
    source = read_source()
    inputs = hash_inputs(job.backbone, job.tables)
    computed = asdict(compute)
    identity = run_identity(inputs, params, code_hash(), computed | {"torch": torch.__version__})
    return {
        "backbone": job.backbone,
        "params": params,
        **{"source": source.name, "phantom": source.phantom},
        "untrainable_findings": untrainable,
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
