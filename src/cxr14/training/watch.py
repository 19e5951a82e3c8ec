"""Losses stay on the device, and are looked at every so many steps: no step waits for one."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cxr14.errors import UserError

EVERY = 25
"""Steps between two looks. On a GPU each look waits for all that it has still to do."""


class NotFiniteError(UserError):
    """A loss was infinite or not a number.

    Attributes:
        step: of the epoch, 1-based.
        places: int64 (B,), which images of the train part the batch held.
    """

    def __init__(self, loss: float, step: int, places: Tensor) -> None:
        super().__init__(f"the loss is {loss} in step {step}")
        self.step, self.places = step, places


class LossWatch:
    """A buffer of losses that have not been looked at yet."""

    def __init__(self, device: str, step: int, mean: Callable[[Tensor], Tensor]) -> None:
        """Start empty.

        Args:
            device: where the losses are.
            step: how many steps of the epoch are done.
            mean: takes the losses of this process, returns the mean over all processes.
        """
        self._losses = torch.zeros(EVERY, dtype=torch.float64, device=device)
        self._batches: list[Tensor] = []
        self._step, self._mean = step, mean

    def add(self, loss: Tensor, places: Tensor) -> None:
        """Take the loss of a step (a scalar on the device) and its images' places (B,)."""
        self._losses[len(self._batches)] = loss.detach()
        self._batches.append(places)

    @property
    def full(self) -> bool:
        """Whether it is time to look."""
        return len(self._batches) == len(self._losses)

    def look(self) -> list[float]:
        """Return the losses since the last look, and forget them.

        Raises:
            NotFiniteError: for the first loss that is no finite number.
        """
        losses: list[float] = self._mean(self._losses[: len(self._batches)]).tolist()
        for n, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise NotFiniteError(loss, self._step + n + 1, self._batches[n])
        self._step += len(losses)
        self._batches.clear()
        return losses
