"""The training loop: batches come as uint8, and are augmented and normalised on the device."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cxr14.models.inputs import normalise
from cxr14.training.augment import augment, decide
from cxr14.training.chance import draw_epoch, seed_network, step_seeds
from cxr14.training.device import Compute
from cxr14.training.interruption import InterruptedTrainingError, StopRequest
from cxr14.training.losses import Loss
from cxr14.training.parts import Part, steps_per_epoch
from cxr14.training.processes import Processes
from cxr14.training.recipe import Recipe
from cxr14.training.session import Progress, Row, Session
from cxr14.training.validation import validate
from cxr14.training.watch import LossWatch

if TYPE_CHECKING:
    from cxr14.training.checkpoint import Checkpoint

VALIDATION_BATCHES = 4
"""Images per forward pass, as a multiple of the batch size: no gradients are kept."""


@dataclass
class Loop:
    """What a training needs beside what it changes.

    Attributes:
        train_part: images at the training size.
        val_part: images at the training size or larger.
        loss: of logits (B, C) and labels (B, C).
        recipe: how to train.
        compute: device, precision and memory format.
        processes: those that train together.
        checkpoint: where to go on after an interruption; None: nowhere.
        stop: says when to end before the last epoch.
        on_epoch: gets the row of a complete epoch.
        on_step: called after each step, for a progress bar.
    """

    train_part: Part
    val_part: Part
    loss: Loss
    recipe: Recipe
    compute: Compute
    processes: Processes
    checkpoint: "Checkpoint | None"
    stop: StopRequest
    on_epoch: Callable[[Row], None]
    on_step: Callable[[], None]

    def run(self, session: Session) -> Progress:
        """Train from where the session is; keep the epoch with the best score on validation.

        Raises:
            NotFiniteError: a loss is no finite number.
            UserError: the validation scores are not finite, or no finding can be scored there.
            InterruptedTrainingError: a signal came; the checkpoint is written if it can be.
        """
        network = self.processes.wrap(session.network)
        if self.recipe.compile:
            network.compile()
        with torch.random.fork_rng(devices=self.compute.random_devices()):
            while session.progress.epoch < self.recipe.epochs:
                session.end_epoch(self._run_epoch(session, network))
                self.on_epoch(session.progress.history[-1])
                self._save_or_stop(session)
        return session.progress

    def _run_epoch(self, session: Session, network: nn.Module) -> Row:
        """Run what is left of the present epoch, and validate."""
        recipe, progress = self.recipe, session.progress
        if progress.step == 0:
            progress.learning_rate = session.learning_rate
        network.train()
        self._run_steps(session, network)
        self.processes.agree_on_statistics(session.validated)
        validation = validate(
            session.validated,
            self.val_part,
            self.loss,
            recipe.input_size,
            VALIDATION_BATCHES * recipe.batch_size,
            self.compute,
            self.processes,
        )
        return {
            "epoch": progress.epoch + 1,
            "loss": progress.mean_loss(),
            "learning_rate": progress.learning_rate,
            "validation_loss": validation.loss,
            "validation_macro_auroc": validation.macro_auroc,
        }

    def _run_steps(self, session: Session, network: nn.Module) -> None:
        """Run the steps that are left of the present epoch."""
        progress, recipe, device = session.progress, self.recipe, self.compute.device
        count, size = len(self.train_part.labels), recipe.batch_size
        steps = steps_per_epoch(count, size)
        if progress.step == steps:  # it was interrupted before its validation
            return
        chance = draw_epoch(recipe.seed, progress.epoch, count, device)
        left = chance.order[progress.step * size : steps * size]
        own, own_size = self.processes.share(left, size), size // self.processes.count
        changes = decide(chance.draws, recipe.augment)[own.to(device)]
        # For dropout: a resumed step is as it would have been, and all processes differ.
        seeds = step_seeds(recipe.seed, progress.epoch, self.processes.rank, steps)
        cut = torch.split(left, size), torch.split(changes, own_size)
        decided = zip(seeds[progress.step :], *cut, strict=True)
        watch = LossWatch(device, progress.step, self.processes.mean)
        with closing(self.train_part.batches(own, own_size)) as batches:
            for (seed, places, change), batch in zip(decided, batches, strict=True):
                seed_network(seed, device)
                loss = self._loss_of(network, *batch, change)
                session.change(loss)
                watch.add(loss, places)
                self._after_step(session, watch)
        progress.losses += watch.look()

    def _loss_of(
        self, network: nn.Module, images: Tensor, labels: Tensor, changes: Tensor
    ) -> Tensor:
        """Return the loss of images uint8 (B, s, s) with labels (B, C), a scalar on the device."""
        grey = images[:, None].float().div_(255)
        inputs = normalise(augment(grey, changes))
        with self.compute.autocast():
            logits = network(inputs.contiguous(memory_format=self.compute.memory_format))
        return self.loss(logits.float(), labels, self.processes.sum)

    def _after_step(self, session: Session, watch: LossWatch) -> None:
        """Look at the losses from time to time, and then alone save or stop."""
        self.on_step()
        # With several processes the looks of all have to meet; alone one stops at once.
        if watch.full or (self.stop.made and self.processes.count == 1):
            session.progress.losses += watch.look()
            self._save_or_stop(session)

    def _save_or_stop(self, session: Session) -> None:
        """Save if it is time; stop if a time limit or a signal says so."""
        progress = session.progress
        stop = self.processes.any(self.stop.made, self.compute.device)
        saved = True
        if self.checkpoint and self.processes.first and (stop or self.checkpoint.due):
            saved = self.checkpoint.save(session)
        if stop:
            done = progress.epoch
            when = f"in epoch {done + 1}" if progress.step else f"after epoch {done}"
            raise InterruptedTrainingError(f"interrupted {when}; {self._resumed(saved)}")

    def _resumed(self, saved: bool) -> str:
        """Say where the same command would go on."""
        path = self.checkpoint.path if self.checkpoint else None
        if path is None or not path.exists():
            return "the same command starts again"
        if not saved:
            return f"this state could not be saved, and the same command goes on from {path} before"
        return f"the same command goes on from {path}"
