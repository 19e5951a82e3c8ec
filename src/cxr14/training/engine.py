"""The training loop: uint8 batches are augmented and normalised on the device."""

import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cxr14.config.blocks import Recipe
from cxr14.errors import UserError
from cxr14.models.inference import Compute, normalise
from cxr14.models.network import Network
from cxr14.training.augment import augment, transform_parameters
from cxr14.training.dataset import SplitData, steps_per_epoch
from cxr14.training.distributed import ALONE, InterruptedTrainingError, Processes, StopRequest
from cxr14.training.ema import EMA
from cxr14.training.losses import Loss
from cxr14.training.optim import make_optimizer, make_scheduler
from cxr14.training.seeding import epoch_randomness, seed_network, step_seeds
from cxr14.training.validation import validate

if TYPE_CHECKING:
    from cxr14.training.checkpoint import Checkpoint


Row = dict[str, float]
State = dict[str, Tensor]


@dataclass
class Progress:
    """Progress of a training.

    Attributes:
        epoch: number of complete epochs.
        step: number of complete steps of the current epoch. A step is the forward and backward
            pass of a batch; `accumulate` of them are an optimizer step.
        losses: of those steps.
        learning_rate: at the first of them.
        history: a row per complete epoch.
        best_epoch: 1-based; 0 before the first.
        best_score: its macro AUROC on validation.
        best_state: its weights.
    """

    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    learning_rate: float = 0.0
    history: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -1.0
    best_state: State = field(default_factory=dict)

    def mean_loss(self) -> float:
        """Return the mean loss of the current epoch; exact, so interruptions do not change it."""
        return math.fsum(self.losses) / len(self.losses)


def optimizer_steps(steps: int, accumulate: int) -> int:
    """Return the number of optimizer steps in an epoch of `steps` batches."""
    return math.ceil(steps / accumulate)


def group_of(step: int, steps: int, accumulate: int) -> tuple[int, bool]:
    """Return the batches that share an optimizer step with a batch.

    Args:
        step: of the batch, 0-based.
        steps: batches of the epoch. The last group has fewer batches if `accumulate` does not
            divide them.
        accumulate: batches per optimizer step.

    Returns:
        Their number, and whether the batch is the last of them.
    """
    first = step - step % accumulate
    size = min(accumulate, steps - first)
    return size, step == first + size - 1


def copy_state(network: nn.Module) -> State:
    """Return a copy of the weights that later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


class Session:
    """State of a training: network, optimizer, schedule, EMA and progress."""

    def __init__(self, network: Network, recipe: Recipe, compute: Compute, steps: int) -> None:
        """Move the network to the device; create optimizer and schedule.

        Args:
            network: changed in place.
            recipe: how to train.
            compute: device, precision and memory format.
            steps: optimizer steps of the whole training.
        """
        self.recipe, self.compute = recipe, compute
        self.network = network.to(compute.device).to(memory_format=compute.memory_format)
        self.optimizer = make_optimizer(network, recipe)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.scheduler: LRScheduler | ReduceLROnPlateau
        self.scheduler = make_scheduler(self.optimizer, recipe, steps)
        self.ema = EMA(network, recipe.ema) if recipe.ema else None
        self.progress = Progress()

    @property
    def eval_network(self) -> Network:
        """The network whose weights are validated and kept."""
        return self.ema.network if self.ema else self.network

    @property
    def learning_rate(self) -> float:
        """The current learning rate of the head, which is in the last group."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def backward(self, loss: Tensor, batches: int) -> None:
        """Add the gradient of a batch, one of `batches` whose mean loss is minimized."""
        torch.autograd.backward(loss / batches if batches > 1 else loss)
        self.progress.step += 1

    def optimizer_step(self) -> None:
        """Update weights, learning rate and EMA, without waiting for the device."""
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        if self.ema:
            self.ema.update(self.network)

    def end_epoch(self, row: Row) -> None:
        """Record a complete epoch; keep its weights if it is the best so far."""
        progress = self.progress
        progress.epoch, progress.step, progress.losses = progress.epoch + 1, 0, []
        progress.history.append(row)
        if row["validation_macro_auroc"] > progress.best_score:
            progress.best_epoch = progress.epoch
            progress.best_score = row["validation_macro_auroc"]
            progress.best_state = copy_state(self.eval_network)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row["validation_loss"])

    def state(self) -> dict[str, Any]:
        """Return the state, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.network.load_state_dict(state["network"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.progress = Progress(**state["progress"])


METER_STEPS = 25
"""Steps between two reads of the losses. Each read synchronizes with the GPU."""


class NotFiniteError(UserError):
    """A loss was infinite or not a number.

    Attributes:
        step: of the epoch, 1-based.
        indices: int64 (B,), images of the train split in the batch.
    """

    def __init__(self, loss: float, step: int, indices: Tensor) -> None:
        super().__init__(f"the loss is {loss} in step {step}")
        self.step, self.indices = step, indices


class LossMeter:
    """A buffer of losses on the device."""

    def __init__(
        self, device: str, step: int, mean: Callable[[Tensor], Tensor], accumulate: int = 1
    ) -> None:
        """Start empty.

        Args:
            device: where the losses are.
            step: number of complete steps of the epoch.
            mean: the mean over all processes, of the losses of this one.
            accumulate: the buffer holds a multiple of so many losses, so that it is full only
                after an optimizer step.
        """
        size = accumulate * math.ceil(METER_STEPS / accumulate)
        self._losses = torch.zeros(size, dtype=torch.float64, device=device)
        self._batches: list[Tensor] = []
        self._step, self._mean = step, mean

    def add(self, loss: Tensor, indices: Tensor) -> None:
        """Add the loss of a step (a scalar on the device) and its images' indices (B,)."""
        self._losses[len(self._batches)] = loss.detach()
        self._batches.append(indices)

    @property
    def full(self) -> bool:
        """Whether the buffer is full."""
        return len(self._batches) == len(self._losses)

    def flush(self) -> list[float]:
        """Return the losses since the last flush, and clear the buffer.

        Raises:
            NotFiniteError: for the first loss that is not finite.
        """
        losses: list[float] = self._mean(self._losses[: len(self._batches)]).tolist()
        for n, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise NotFiniteError(loss, self._step + n + 1, self._batches[n])
        self._step += len(losses)
        self._batches.clear()
        return losses


VALIDATION_BATCHES = 4
"""Images per forward pass, as a multiple of the batch size: no gradients are kept."""


@dataclass
class Loop:
    """The training loop: data, loss and callbacks.

    Attributes:
        train_split: images at the training size.
        val_split: images at the training size or larger.
        loss: of logits (B, C) and labels (B, C).
        processes: of this run.
        checkpoint: where the state is saved; None to save nothing.
        stop: a request to end before the last epoch.
        on_epoch: called with the row of each complete epoch.
        on_step: called after each step.
    """

    train_split: SplitData
    val_split: SplitData
    loss: Loss
    processes: Processes = ALONE
    checkpoint: "Checkpoint | None" = None
    stop: StopRequest = field(default_factory=StopRequest)
    on_epoch: Callable[[Row], None] = lambda row: None
    on_step: Callable[[], None] = lambda: None

    def run(self, session: Session) -> Progress:
        """Train the remaining epochs; keep the weights with the best macro AUROC on validation.

        Raises:
            NotFiniteError: a loss is not finite.
            UserError: the validation scores are not finite, or no finding can be scored.
            InterruptedTrainingError: a signal came; the checkpoint is written if possible.
        """
        network = self.processes.wrap(session.network)
        if session.recipe.compile:
            network.compile()
        with torch.random.fork_rng(devices=session.compute.random_devices()):
            while session.progress.epoch < session.recipe.epochs:
                session.end_epoch(self._run_epoch(session, network))
                self.on_epoch(session.progress.history[-1])
                self._save_or_stop(session)
        return session.progress

    def _run_epoch(self, session: Session, network: nn.Module) -> Row:
        """Run the remaining steps of the current epoch, and validate."""
        recipe, progress = session.recipe, session.progress
        if progress.step == 0:
            progress.learning_rate = session.learning_rate
        network.train()
        self._run_steps(session, network)
        self.processes.broadcast_statistics(session.eval_network)
        validation = validate(
            session.eval_network,
            self.val_split,
            self.loss,
            recipe.input_size,
            VALIDATION_BATCHES * recipe.batch_size,
            session.compute,
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
        """Run the remaining steps of the current epoch."""
        progress, recipe, device = session.progress, session.recipe, session.compute.device
        count, size = len(self.train_split.labels), recipe.batch_size
        steps = steps_per_epoch(count, size)
        if progress.step == steps:  # interrupted before the validation
            return
        randomness = epoch_randomness(recipe.seed, progress.epoch, count, device)
        remaining = randomness.order[progress.step * size : steps * size]
        shard, shard_size = self.processes.shard(remaining, size), size // self.processes.world_size
        parameters = transform_parameters(randomness.draws, recipe.augment)[shard.to(device)]
        # For dropout: a resumed step draws the same numbers, and all processes draw others.
        seeds = step_seeds(recipe.seed, progress.epoch, self.processes.rank, steps)
        pieces = torch.split(remaining, size), torch.split(parameters, shard_size)
        decided = zip(seeds[progress.step :], *pieces, strict=True)
        meter = LossMeter(device, progress.step, self.processes.mean, recipe.accumulate)
        with closing(self.train_split.batches(shard, shard_size)) as batches:
            for (seed, indices, transforms), batch in zip(decided, batches, strict=True):
                seed_network(seed, device)
                group_size, is_last = group_of(progress.step, steps, recipe.accumulate)
                with nullcontext() if is_last else self.processes.accumulate(network):
                    loss = self._loss_of(network, session.compute, *batch, transforms)
                    session.backward(loss, group_size)
                if is_last:
                    session.optimizer_step()
                meter.add(loss, indices)
                self._after_step(session, meter, is_last)
        progress.losses += meter.flush()

    def _loss_of(
        self, network: nn.Module, compute: Compute, images: Tensor, labels: Tensor, changes: Tensor
    ) -> Tensor:
        """Return the loss of images uint8 (B, s, s) with labels (B, C), a scalar on the device."""
        grey = images[:, None].float().div_(255)
        inputs = normalise(augment(grey, changes))
        with compute.autocast():
            logits = network(inputs.contiguous(memory_format=compute.memory_format))
        return self.loss(logits.float(), labels, self.processes.sum)

    def _after_step(self, session: Session, meter: LossMeter, is_last: bool) -> None:
        """Flush the loss meter when it is full; save or stop only then.

        Both only after the last batch of an optimizer step: a checkpoint has no gradients.
        """
        self.on_step()
        # With several processes all must flush together; a single process stops at once.
        stop = self.stop.requested and self.processes.world_size == 1
        if is_last and (meter.full or stop):
            session.progress.losses += meter.flush()
            self._save_or_stop(session)

    def _save_or_stop(self, session: Session) -> None:
        """Save if a checkpoint is due; stop if requested."""
        progress = session.progress
        stop = self.processes.any(self.stop.requested, session.compute.device)
        saved = True
        if self.checkpoint and self.processes.is_main and (stop or self.checkpoint.due):
            saved = self.checkpoint.save(session)
        if stop:
            done = progress.epoch
            when = f"in epoch {done + 1}" if progress.step else f"after epoch {done}"
            raise InterruptedTrainingError(f"interrupted {when}; {self._resumed(saved)}")

    def _resumed(self, saved: bool) -> str:
        """Return where the same command resumes."""
        path = self.checkpoint.path if self.checkpoint else None
        if path is None or not path.exists():
            return "the same command starts again"
        if not saved:
            return f"this state could not be saved; the same command goes on from {path} before it"
        return f"the same command goes on from {path}"
