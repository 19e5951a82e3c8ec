"""Exponential moving average (EMA) of a network's weights and running statistics."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cxr14.models.network import Network


class EMA:
    """Exponential moving average (EMA) of a network.

    torch's AveragedModel keeps its counter as a tensor, so every update synchronizes with the GPU;
    only its arithmetic is used here.
    """

    def __init__(self, network: Network, decay: float) -> None:
        """Copy the network.

        Args:
            network: copied on its device.
            decay: d of average = d · average + (1 − d) · weights.
        """
        self.network = deepcopy(network).requires_grad_(False)
        self._updates = 0
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(self, network: Network) -> None:
        """Update the average after a step; the first update copies the network."""
        averages, weights = self._floats(self.network), self._floats(network)
        if self._updates == 0:
            torch._foreach_copy_(averages, weights)
        else:
            self._move(averages, weights, None)
        self._updates += 1

    @staticmethod
    def _floats(network: Network) -> list[Tensor]:
        """Return weights and running statistics, without counters of batches."""
        tensors = [*network.parameters(), *network.buffers()]
        return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as tensors and plain values."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self._updates = state["updates"]
