"""Several processes that train one network, started by torch's launcher.

Without it there is one process, and everything here does nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cxr14.errors import UserError


@dataclass(frozen=True)
class Processes:
    """Which process we are among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and talks."""
        return self.rank == 0

    def share(self, order: Tensor, batch_size: int) -> Tensor:
        """Return this process's places of every batch: of int64 (K·B,) those (K·B/count,)."""
        own = batch_size // self.count
        return order.view(-1, batch_size)[:, self.rank * own : (self.rank + 1) * own].flatten()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, element by element."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, element by element."""
        return self.sum(values) / self.count if self.count > 1 else values

    def any(self, wish: bool, device: str) -> bool:
        """Whether any process has a wish; all get the same answer."""
        if self.count == 1:
            return wish
        return bool(self.sum(torch.tensor(float(wish), device=device)) > 0)

    def agree(self, number: int, device: str) -> bool:
        """Whether all processes have the same number; all get the same answer."""
        if self.count == 1:
            return True
        extremes = torch.tensor([number, -number], device=device)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        return bool(extremes.sum() == 0)

    def share_statistics(self, network: nn.Module, device: str) -> None:
        """Let batch normalisation see the batches of all processes; torch has it on GPUs alone."""
        if self.count > 1 and device == "cuda":
            # It is in place but for a network that is a single layer.
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]

    def agree_on_statistics(self, network: nn.Module) -> None:
        """Give all processes the first one's running statistics, which are those that are saved.

        Without SyncBatchNorm each has seen its own share of the last batch, and its average of
        the network its own share of all of them.
        """
        if self.count > 1:
            for statistic in network.buffers():
                dist.broadcast(statistic, src=0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Let every process change its weights by the mean of all gradients."""
        if self.count == 1:
            return network
        # Running statistics take no part in a step: to send them in each of them, as is torch's
        # default, changes nothing of what the first process keeps (see agree_on_statistics).
        return DistributedDataParallel(network, forward_sync_buffers=False)


@contextmanager
def joined(expected: int, device: str) -> Iterator[Processes]:
    """Meet the other processes, if there are any, and leave them in the end, but not on an error.

    Args:
        expected: `train.processes`.
        device: cpu (gloo) or cuda (NCCL; each takes the GPU of its LOCAL_RANK).

    Raises:
        UserError: the launcher started another number of processes, or more than there are GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count != expected:
        raise UserError(
            f"train.processes is {expected}, but the launcher started {count}; make them equal"
        )
    if count == 1:
        yield Processes()
        return
    if device == "cuda":
        take_gpu()
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    yield Processes(dist.get_rank(), count)
    # Not on an error: with NCCL it waits for the others, as they wait for us.
    dist.destroy_process_group()


def take_gpu() -> None:
    """Compute on the GPU of our number on this machine."""
    wanted, found = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if wanted > found:
        raise UserError(
            f"train.processes: {wanted} processes are on this machine, but torch sees {found} GPUs "
            f"there, and each takes one; lower it"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
