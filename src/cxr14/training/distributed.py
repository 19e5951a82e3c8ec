"""Distributed training: collective operations, torch's launcher, signals, failures of a rank.

In a single process the collective operations return their inputs.
"""

import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import NoReturn

import torch
import torch.distributed as dist
import typer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cxr14.errors import UserError, explain


@dataclass(frozen=True)
class Processes:
    """Rank and world size of a distributed run, with its collective operations."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and prints."""
        return self.rank == 0

    def shard(self, order: Tensor, batch_size: int) -> Tensor:
        """Return this rank's indices of every batch: of int64 (K·B,) those (K·B/world_size,)."""
        size = batch_size // self.world_size
        return order.view(-1, batch_size)[:, self.rank * size : (self.rank + 1) * size].flatten()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, element by element."""
        if self.world_size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, element by element."""
        return self.sum(values) / self.world_size if self.world_size > 1 else values

    def any(self, flag: bool, device: str) -> bool:
        """Whether the flag is set on any rank; all ranks get the same result."""
        if self.world_size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def all_equal(self, number: int, device: str) -> bool:
        """Whether all ranks have the same number; all ranks get the same result."""
        if self.world_size == 1:
            return True
        extremes = torch.tensor([number, -number], device=device)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        return bool(extremes.sum() == 0)

    def synchronize_batchnorm(self, network: nn.Module, device: str) -> None:
        """Convert batch normalisation to SyncBatchNorm, which torch has on GPUs only."""
        if self.world_size > 1 and device == "cuda":
            # In place, except for a network that is a single layer.
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]

    def broadcast_statistics(self, network: nn.Module) -> None:
        """Broadcast the running statistics of rank 0, which are saved.

        Without SyncBatchNorm they differ between ranks.
        """
        if self.world_size > 1:
            for statistic in network.buffers():
                dist.broadcast(statistic, src=0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap a network in DistributedDataParallel, which averages gradients."""
        if self.world_size == 1:
            return network
        # Steps do not use running statistics, and those of rank 0 are the ones that are kept (see
        # broadcast_statistics), so they are not sent in every step as by torch's default.
        return DistributedDataParallel(network, forward_sync_buffers=False)

    def accumulate(self, network: nn.Module) -> AbstractContextManager[None]:
        """Return the context in which gradients add up on each rank, and are not averaged yet.

        The first pass outside of it averages the sums.

        Args:
            network: as :meth:`wrap` returned it.
        """
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


ALONE = Processes()
"""The only process of a run."""


@contextmanager
def process_group(expected: int, device: str) -> Iterator[Processes]:
    """Initialize the process group of several processes; destroy it unless an error occurs.

    Args:
        expected: `train.processes`.
        device: cpu (gloo) or cuda (NCCL; each rank has the GPU of its LOCAL_RANK).

    Raises:
        UserError: the launcher started another number of processes, or more than there are GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count != expected:
        raise UserError(
            f"train.processes is {expected}, but the launcher started {count}; make them equal"
        )
    if count == 1:
        yield ALONE
        return
    if device == "cuda":
        take_gpu()
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    yield Processes(dist.get_rank(), count)
    # Not after an error: with NCCL it waits for the other ranks, which wait for this one.
    dist.destroy_process_group()


def take_gpu() -> None:
    """Select the GPU of LOCAL_RANK."""
    n_processes, n_gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if n_processes > n_gpus:
        raise UserError(
            f"train.processes: {n_processes} processes are on this machine, but torch sees "
            f"{n_gpus} GPUs there, and each needs one; lower it"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


INTERRUPTED = 130
"""Exit code after a stop request."""

PEER_LOST = os.EX_TEMPFAIL
"""Exit code of a rank that lost the connection to another rank."""

SHUTDOWN_SECONDS = 120
"""Seconds from a stop request to SIGKILL; ranks check for a request every METER_STEPS steps."""

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""

RESUME_HINT = "the same command goes on from the last checkpoint"


def is_launched() -> bool:
    """Whether torch's launcher (torchrun) started this process."""
    return "RANK" in os.environ


def end_with_launcher() -> None:
    """Let the kernel end this process when its launcher ends, even by SIGKILL; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def launch(count: int, module: str, *arguments: str) -> NoReturn:
    """Run a module in `count` processes of this machine by torchrun, and exit with their status.

    The launcher passes stop signals (Ctrl-C, SIGTERM, a closed terminal) on as SIGINT. By SIGTERM
    it ends the remaining processes when one has failed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))
    logging.disable()  # explain_exit_codes replaces torch's messages
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    options = ["--standalone", "--signals-to-handle=SIGINT", f"--nproc-per-node={count}"]
    options.append(f"--shutdown-timeout={SHUTDOWN_SECONDS}")
    try:
        run(parse_args([*options, "-m", module, *arguments]))  # type: ignore[no-untyped-call]
    except SignalException:
        raise SystemExit(INTERRUPTED) from None
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if message := explain_exit_codes(codes):
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(INTERRUPTED if INTERRUPTED in codes.values() else 1) from None
    raise SystemExit(0)


def explain_exit_codes(codes: dict[int, int]) -> str | None:
    """Return why processes ended, if none of them could report an error.

    Args:
        codes: exit code by rank of those that failed; negative for a signal.

    Returns:
        A sentence; None if a process has reported an error.
    """
    if any(code > 0 and code != PEER_LOST for code in codes.values()):
        return None
    killed = {rank: -code for rank, code in codes.items() if code < 0}
    # A rank ended by SIGTERM comes last, as the launcher ends the remaining ranks by it.
    for rank in sorted(killed, key=lambda rank: (killed[rank] == signal.SIGTERM, rank)):
        name = signal.Signals(killed[rank]).name
        return f"process {rank} was ended by {name}, and the others with it; {RESUME_HINT}"
    return f"the processes of the training lost one another; {RESUME_HINT}"


SIGNALS = (signal.SIGINT, signal.SIGTERM)
MULTI_PROCESS_SIGNALS = (signal.SIGINT,)
"""SIGTERM ends one of several processes at once: no handler runs while it waits in a reduction."""


class InterruptedTrainingError(Exception):
    """A signal ended the training; its checkpoint is on disk, if it could be written."""


class StopRequest:
    """A stop requested by a signal; the second signal raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.requested = False

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        if self.requested:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self.requested = True


@contextmanager
def stop_request(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[StopRequest]:
    """Turn signals into a request while the block runs, in the main thread."""
    request = StopRequest()
    before = {number: signal.signal(number, request.handle) for number in signals}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


STORE_TIMEOUT = timedelta(seconds=10)


@contextmanager
def report_first_failure() -> Iterator[None]:
    """Report the error of the first rank that fails, and exit each failing rank at once.

    The launcher then ends the other ranks, which wait in a reduction. Without a launcher there is
    one process, and errors propagate.
    """
    if not is_launched():
        yield
        return
    end_with_launcher()
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, InterruptedTrainingError | KeyboardInterrupt)
        code = INTERRUPTED if stopped else PEER_LOST if is_peer_lost(error) else 1
        if code != PEER_LOST and _is_first_failure():
            _report(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an orderly exit would destroy the process group and wait for its ranks


def _report(error: BaseException) -> None:
    if isinstance(error, InterruptedTrainingError):
        print(error, file=sys.stderr)
    elif sentence := explain(error):
        print(f"error: {sentence}", file=sys.stderr)
    else:
        traceback.print_exception(error)


def is_peer_lost(error: BaseException) -> bool:
    """Whether an error means only that the connection to another rank is lost."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _is_first_failure() -> bool:
    """Whether no other rank has failed, by a counter in the launcher's store.

    The timestamps of torch's error files are whole seconds, too coarse for the order of failures.
    """
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # type: ignore[attr-defined]
            *address, is_master=False, timeout=STORE_TIMEOUT
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return bool(store.add(f"cxr14/failures/{attempt}", 1) == 1)
    except (KeyError, RuntimeError):
        return True


def run_training(
    name: str, processes: int, module: str, arguments: list[str], job: Callable[[], float | None]
) -> None:
    """Train in this process or in several, and print the best score.

    Args:
        name: name of the run.
        processes: number of processes on this machine.
        module: of the command, for ``python -m``.
        arguments: of the command.
        job: trains, and returns the best macro AUROC on validation; None on ranks other than 0.

    Raises:
        typer.Exit: with status 130 after a signal.
    """
    if processes > 1 and not is_launched():
        launch(processes, module, *arguments)
    try:
        with report_first_failure():
            score = job()
    except InterruptedTrainingError as interruption:
        typer.secho(f"{interruption}", fg="yellow", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if score is not None:
        typer.echo(f"{name}: best validation macro AUROC {score:.3f}")
