"""One training run from files to files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from cxr14.config.blocks import LossParams, ModelParams, Numerics, Recipe
from cxr14.console import TrainingProgress, training_progress
from cxr14.datasets.records import Source, read_source, write_result
from cxr14.errors import UserError
from cxr14.io import project_root, write_csv
from cxr14.labels import CLASSES
from cxr14.models.inference import Compute, resolve_compute
from cxr14.models.network import Network
from cxr14.models.serialization import save_model
from cxr14.models.timm_backbones import backbone_version
from cxr14.training.checkpoint import Checkpoint, code_hash, run_identity
from cxr14.training.dataset import SplitData, load_split, steps_per_epoch
from cxr14.training.distributed import (
    MULTI_PROCESS_SIGNALS,
    SIGNALS,
    Processes,
    process_group,
    stop_request,
)
from cxr14.training.engine import (
    Loop,
    NotFiniteError,
    Progress,
    Row,
    Session,
    optimizer_steps,
)
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
    published_weights,
    read_data,
    warn_of_untrainable,
)
from cxr14.training.losses import make_loss


class Tracker(Protocol):
    """Receiver of epochs and metrics of a run; MLflow's is cxr14.tracking.runs.TrainingRun."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Record the row of one epoch."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Record the final metrics; mark the run as finished."""

    def fail(self) -> None:
        """Mark the run as failed."""


Start = Callable[..., Tracker | None]
"""Starts a tracker, or returns None: (identity, title, params, source)."""


@dataclass(frozen=True)
class Job:
    """One training run: its params, its inputs and the paths of its outputs.

    Attributes:
        backbone: name of the backbone.
        model: initial weights and head.
        loss: of the training and of the validation.
        recipe: of this backbone.
        folder: of the model.
        name: of history, metrics and checkpoint.
        title: name of the run in trackers.
        classes: outputs of the network, in the order of CLASSES.
        tables: the labels and the split.
        results: the folder that holds plots/train and metrics/train.
        numerics: portable or fast; set by the stage before torch was imported.
    """

    backbone: str
    model: ModelParams
    loss: LossParams
    recipe: Recipe
    folder: Path
    name: str
    title: str
    classes: Sequence[str] = CLASSES
    tables: Tables = DEFAULT_TABLES
    results: Path = Path()
    numerics: Numerics = "portable"

    @property
    def params(self) -> dict[str, Any]:
        """Params of the run, as model.json and trackers record them."""
        blocks = {"model": self.model, "loss": self.loss, "train": self.recipe}
        dumped = {name: block.model_dump() for name, block in blocks.items()}
        return {"numerics": self.numerics, "data": {"findings": list(self.classes)}, **dumped}


@contextmanager
def explain_failures(backbone: str, images: list[str]) -> Iterator[None]:
    """Turn a loss that is not finite, and a lack of memory, into a UserError with the fix.

    Args:
        backbone: name of the backbone.
        images: names, in the order of the train split.
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
"""Messages of the CPU allocator, the driver (pinned memory, events), and cuBLAS."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; torch has an error class for the memory that it allocates on GPUs."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in MEMORY)


def fit(
    network: Network,
    job: Job,
    data: Data,
    compute: Compute,
    processes: Processes,
    checkpoint: Checkpoint,
    tracker: Tracker | None,
) -> Progress:
    """Train from the checkpoint or from the start, under a progress bar.

    Args:
        network: changed in place.
        job: its recipe and loss are used, and the backbone's name in messages.
        data: images and labels of train and val.
        compute: device, precision and memory format.
        processes: of this run.
        checkpoint: where an interrupted training resumes.
        tracker: receives every epoch, also those before an interruption; None for no tracker.

    Raises:
        UserError: the loss or the validation scores are not finite, memory does not suffice, or
            the processes would resume at different steps.
        InterruptedTrainingError: a signal came.
    """
    recipe, device = job.recipe, compute.device
    train_split, val_split = _load_splits(data, recipe.input_size, device)
    steps = steps_per_epoch(len(train_split.labels), recipe.batch_size)
    total = steps * recipe.epochs
    processes.synchronize_batchnorm(network, device)
    with (
        explain_failures(job.backbone, data.train_images),
        training_progress(job.backbone, total, recipe.epochs, not processes.is_main) as progress,
        stop_request(SIGNALS if processes.world_size == 1 else MULTI_PROCESS_SIGNALS) as stop,
    ):
        optimized = recipe.epochs * optimizer_steps(steps, recipe.accumulate)
        session = Session(network, recipe, compute, optimized)
        if recipe.freeze != "none":
            count, count_trained = count_parameters(network)
            progress.print_line(f"trains {count_trained:,} of {count:,} parameters")
        _resume(session, checkpoint, steps, processes, progress)
        log_epoch = tracker.log_epoch if tracker else lambda row: None
        for row in session.progress.history:
            log_epoch(row)

        def on_epoch(row: Row) -> None:
            progress.epoch(row)
            log_epoch(row)

        masked = any(bool((split.labels < 0).any()) for split in (train_split, val_split))
        loss = make_loss(job.loss, train_split.labels, masked)
        callbacks = (stop, on_epoch, progress.step)
        return Loop(train_split, val_split, loss, processes, checkpoint, *callbacks).run(session)


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


def _load_splits(data: Data, size: int, device: str) -> tuple[SplitData, SplitData]:
    """Open train at the training size and validation at the cache's, as `evaluate` sees it."""
    cached = data.images.shape[1]
    return (
        load_split(data.images, data.train_rows, data.train_labels, size, device, data.classes),
        load_split(data.images, data.val_rows, data.val_labels, cached, device, data.classes),
    )


def count_parameters(network: Network) -> tuple[int, int]:
    """Return the number of parameters, and that of those that are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)


SCRATCH = ".scratch/train"


def run_job(job: Job, start: Start, seconds: float) -> float | None:
    """Train a backbone and write its model, history and metrics.

    Args:
        job: params, inputs and outputs.
        start: starts the tracker.
        seconds: between two checkpoints.

    Returns:
        The best macro AUROC on validation; None in all processes but the first.

    Raises:
        UserError: the data do not suit the params, or the training failed.
        InterruptedTrainingError: a signal came; the same call resumes from the checkpoint.
    """
    compute = resolve_compute(job.recipe.device, job.recipe.precision, job.backbone)
    data = read_data(job.classes, job.tables)
    check_fits(job.recipe, data)
    untrainable = check_trainable(data.train_labels, data.classes)
    check_scorable(data.val_labels, untrainable, data.classes)
    source = read_source()
    facts = _facts(job, source, compute, untrainable)
    path = project_root() / SCRATCH / job.results / job.name
    checkpoint = Checkpoint(path.parent, path.name, facts["run_identity"], seconds)
    with process_group(job.recipe.processes, compute.device) as processes:
        if processes.is_main:
            warn_of_untrainable(untrainable)
        images = initialization_images(data)
        network = initial_network(job.backbone, job.model, images, job.recipe, job.classes)
        train = partial(fit, network, job, data, compute, processes, checkpoint)
        if not processes.is_main:
            train(None)
            return None
        with _tracked(start, job, facts, source) as tracker:
            trained = train(tracker)
            network.load_state_dict(trained.best_state)
            save_model(job.folder, network, facts | _outcome(job, network, trained))
            _write_history(job, trained, data, source)
        if tracker:
            final = {"best_epoch": trained.best_epoch}
            tracker.finish(final | {"best_validation_macro_auroc": trained.best_score})
        checkpoint.clear()  # after the tracker: a server that hangs may be interrupted
    return trained.best_score


@contextmanager
def _tracked(
    start: Start, job: Job, facts: dict[str, Any], source: Source
) -> Iterator[Tracker | None]:
    """Yield a tracker, and mark its run as failed if the block raises."""
    tracker = start(facts["run_identity"], job.title, facts["params"], source)
    try:
        yield tracker
    except BaseException:
        if tracker:
            tracker.fail()
        raise


def _facts(job: Job, source: Source, compute: Compute, untrainable: list[str]) -> dict[str, Any]:
    """Return the facts that are known before training, including the run identity."""
    inputs, params = hash_inputs(job.backbone, job.tables), job.params
    computed = asdict(compute)
    versions = {"torch": torch.__version__} | backbone_version(job.backbone)
    identity = run_identity(inputs, params, code_hash(), computed | versions)
    published = published_weights(job.backbone)
    return ({"initial_weights": published} if published else {}) | {
        "backbone": job.backbone,
        "params": params,
        "source": source.name,
        "phantom": source.phantom,
        "untrainable_findings": untrainable,
        "inputs": inputs,
        **computed,
        "run_identity": identity,
    }


def _outcome(job: Job, network: Network, trained: Progress) -> dict[str, Any]:
    count, count_trained = count_parameters(network)
    return {
        "parameters": count,
        "trained_parameters": count_trained,
        "input_size": job.recipe.input_size,
        "head": job.model.head,
        "epochs": job.recipe.epochs,
        "best_epoch": trained.best_epoch,
        "validation_macro_auroc": trained.best_score,
    }


def _write_history(job: Job, trained: Progress, data: Data, source: Source) -> None:
    write_csv(job.results / f"plots/train/{job.name}.csv", pd.DataFrame(trained.history))
    best = trained.history[trained.best_epoch - 1]
    metrics = {
        "best_epoch": trained.best_epoch,
        "train_loss": best["loss"],
        "train_images": len(data.train_labels),
        "val_images": len(data.val_labels),
        "validation_macro_auroc": trained.best_score,
    }
    write_result(job.results / f"metrics/train/{job.name}.json", metrics, source)
