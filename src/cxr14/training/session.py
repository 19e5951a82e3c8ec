"""All that changes while a network is trained, and so all that a checkpoint has to hold."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cxr14.models.network import Network
from cxr14.training.average import Average
from cxr14.training.device import Compute
from cxr14.training.optimizer import make_optimizer, make_scheduler
from cxr14.training.recipe import Recipe

Row = dict[str, float]
State = dict[str, Tensor]


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs that are complete.
        step: steps of the present epoch that are done.
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
        """Return the mean loss of the present epoch; exact, so interruptions do not change it."""
        return math.fsum(self.losses) / len(self.losses)


def copied(network: nn.Module) -> State:
    """Return a copy of the weights that later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


class Session:
    """A network in training."""

    def __init__(self, network: Network, recipe: Recipe, compute: Compute, steps: int) -> None:
        """Bring the network to the device, and put an optimizer and a schedule beside it.

        Args:
            network: changed in place.
            recipe: how to train.
            compute: device, precision and memory format.
            steps: of the whole training.
        """
        self.compute = compute
        self.network = network.to(compute.device).to(memory_format=compute.memory_format)
        self.optimizer = make_optimizer(network, recipe)
        self.scheduler: LRScheduler | ReduceLROnPlateau
        self.scheduler = make_scheduler(self.optimizer, recipe, steps)
        self.averaged = Average(network, recipe.ema) if recipe.ema else None
        self.progress = Progress()

    @property
    def validated(self) -> Network:
        """The network whose weights are validated and kept."""
        return self.averaged.network if self.averaged else self.network

    @property
    def learning_rate(self) -> float:
        """The present learning rate of the head, which is in the last group."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def change(self, loss: Tensor) -> None:
        """Take a step: change weights, learning rate and average; nothing waits for the device."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        if self.averaged:
            self.averaged.update(self.network)
        self.progress.step += 1

    def end_epoch(self, row: Row) -> None:
        """Note a complete epoch; keep its weights if it is the best so far."""
        progress = self.progress
        progress.epoch, progress.step, progress.losses = progress.epoch + 1, 0, []
        progress.history.append(row)
        if row["validation_macro_auroc"] > progress.best_score:
            progress.best_epoch = progress.epoch
            progress.best_score = row["validation_macro_auroc"]
            progress.best_state = copied(self.validated)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row["validation_loss"])

    def state(self) -> dict[str, Any]:
        """Return everything, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.network.load_state_dict(state["network"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.progress = Progress(**state["progress"])
