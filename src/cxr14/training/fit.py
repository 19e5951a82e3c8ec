"""From images and labels in memory to trained weights, whatever comes in between."""

from typing import Any

from cxr14.errors import UserError
from cxr14.models.network import Network
from cxr14.training.checkpoint import Checkpoint
from cxr14.training.device import Compute
from cxr14.training.failures import explained
from cxr14.training.inputs import Data
from cxr14.training.interruption import AMONG_SEVERAL, SIGNALS, stop_request
from cxr14.training.loop import Loop
from cxr14.training.losses import make_loss
from cxr14.training.parts import Part, load_part, steps_per_epoch
from cxr14.training.processes import Processes
from cxr14.training.recipe import Recipe
from cxr14.training.screen import Screen, screen
from cxr14.training.session import Progress, Row, Session
from cxr14.training.tracker import Tracker


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
    train_part, val_part = _load_parts(data, recipe.input_size, compute.device)
    steps = steps_per_epoch(len(train_part.labels), recipe.batch_size)
    processes.share_statistics(network, compute.device)
    with (
        explained(backbone, data.train_images),
        screen(backbone, steps * recipe.epochs, recipe.epochs, not processes.first) as shown,
        stop_request(SIGNALS if processes.count == 1 else AMONG_SEVERAL) as stop,
    ):
        session = Session(network, recipe, compute, steps * recipe.epochs)
        _resume(session, checkpoint, steps, processes, shown)
        for row in session.progress.history:
            tracker.log_epoch(row)

        def on_epoch(row: Row) -> None:
            shown.epoch(row)
            tracker.log_epoch(row)

        objective = make_loss(**loss, train_labels=train_part.labels)
        loop = Loop(
            train_part, val_part, objective, recipe, compute, processes, checkpoint, stop,
            on_epoch, shown.step,
        )  # fmt: skip
        return loop.run(session)


def _resume(
    session: Session, checkpoint: Checkpoint, steps: int, processes: Processes, shown: Screen
) -> None:
    """Go on from the checkpoint if there is one; all processes, and from the same place."""
    told = checkpoint.resume(session)
    if told:
        shown.say(told)
    done = session.progress.epoch * steps + session.progress.step
    if not processes.agree(done, session.compute.device):
        raise UserError(
            f"{session.network.backbone}: the processes do not see the same checkpoint "
            f"{checkpoint.path}; let all hosts share the repository's files, or remove it"
        )
    shown.start_at(done)


def _load_parts(data: Data, size: int, device: str) -> tuple[Part, Part]:
    """Open train at the training size and validation at the cache's, as `evaluate` sees it."""
    cached = data.images.shape[1]
    return (
        load_part(data.images, data.train_rows, data.train_labels, size, device, data.classes),
        load_part(data.images, data.val_rows, data.val_labels, cached, device, data.classes),
    )
