"""An exponential moving average of a network's weights and statistics."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cxr14.models.network import Network


class EMA:
    """An exponential moving average (EMA) of a network.

    torch's own AveragedModel keeps its counter as a tensor, and every update waits for a GPU to
    send or read it; only its arithmetic is used here.
    """

    def __init__(self, network: Network, decay: float) -> None:
        """Start at the network.

        Args:
            network: is copied, on its device.
            decay: d of average = d · average + (1 − d) · weights.
        """
        self.network = deepcopy(network).requires_grad_(False)
        self._updates = 0
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(self, network: Network) -> None:
        """Follow the network by a step; the first one goes all the way."""
        averages, weights = self._floats(self.network), self._floats(network)
        if self._updates == 0:
            torch._foreach_copy_(averages, weights)
        else:
            self._move(averages, weights, None)
        self._updates += 1

    @staticmethod
    def _floats(network: Network) -> list[Tensor]:
        """Weights and running statistics; what is counted (batches) has no average."""
        tensors = [*network.parameters(), *network.buffers()]
        return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as tensors and plain values."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what :meth:`state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self._updates = state["updates"]
