"""Several processes that train one network, started by torch's launcher.

Without it there is one process, and everything here does nothing.
"""

import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
            # It is in place but for a network that is a single layer.
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
        # Running statistics take no part in a step: to send them in each of them, as is torch's
        # default, changes nothing of what the first process keeps (see broadcast_statistics).
        return DistributedDataParallel(network, forward_sync_buffers=False)


ALONE = Processes()
"""The only process of a run."""


@contextmanager
def process_group(expected: int, device: str) -> Iterator[Processes]:
    """Initialize the process group of several processes; destroy it unless an error occurs.

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
        yield ALONE
        return
    if device == "cuda":
        take_gpu()
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    yield Processes(dist.get_rank(), count)
    # Not on an error: with NCCL it waits for the others, as they wait for us.
    dist.destroy_process_group()


def take_gpu() -> None:
    """Select the GPU of LOCAL_RANK."""
    n_processes, n_gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if n_processes > n_gpus:
        raise UserError(
            f"train.processes: {n_processes} processes are on this machine, but torch sees "
            f"{n_gpus} GPUs there, and each takes one; lower it"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


# Torch's elastic launcher, torchrun, as it is used on one machine.
#
# It sets RANK, WORLD_SIZE and LOCAL_RANK for each process it starts, and ends all when one fails.


INTERRUPTED = 130
PEER_LOST = os.EX_TEMPFAIL
"""Exit code of a rank that lost the connection to another rank."""

SHUTDOWN_SECONDS = 120
"""Seconds from a stop request to SIGKILL; ranks check for requests every METER_STEPS steps."""

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""

RESUME_HINT = "the same command goes on from the last checkpoint"


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "RANK" in os.environ


def end_with_launcher() -> None:
    """Let the system end this process when its launcher is gone, even by SIGKILL.

    It would otherwise train on beside the next run. Works on Linux only.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def launch(count: int, module: str, *arguments: str) -> NoReturn:
    """Run a module in `count` processes of this machine, and exit with their status.

    Stop signals (Ctrl-C, SIGTERM, a closed terminal) reach them as SIGINT. The launcher's own
    SIGTERM ends the remaining processes when one has failed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))
    logging.disable()  # explain_exit_codes replaces torch's messages
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    options = [
        "--standalone",
        "--signals-to-handle=SIGINT",
        f"--shutdown-timeout={SHUTDOWN_SECONDS}",
    ]
    try:
        words = [*options, f"--nproc-per-node={count}", "-m", module, *arguments]
        run(parse_args(words))  # type: ignore[no-untyped-call]
    except SignalException:
        raise SystemExit(INTERRUPTED) from None
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if message := explain_exit_codes(codes):
            print(f"error: {message}", file=sys.stderr)
        interrupted = INTERRUPTED in codes.values()
        raise SystemExit(INTERRUPTED if interrupted else 1) from None
    raise SystemExit(0)


def explain_exit_codes(codes: dict[int, int]) -> str | None:
    """Return why processes ended that could not report an error.

    Args:
        codes: exit code by rank of those that failed; negative for a signal.

    Returns:
        A sentence, or None if one of them has reported an error.
    """
    if any(code > 0 and code != PEER_LOST for code in codes.values()):
        return None
    killed = {rank: -code for rank, code in codes.items() if code < 0}
    # SIGTERM is also what the launcher ends the others by.
    for rank in sorted(killed, key=lambda rank: (killed[rank] == signal.SIGTERM, rank)):
        name = signal.Signals(killed[rank]).name
        return f"process {rank} was ended by {name}, and the others with it; {RESUME_HINT}"
    return f"the processes of the training lost one another; {RESUME_HINT}"


# Ctrl-C and SIGTERM end a training between two steps.
#
# Of several processes, SIGTERM ends one at once: so their launcher ends those that wait for one
# that has failed, and no handler of Python's would run while they wait.


SIGNALS = (signal.SIGINT, signal.SIGTERM)
MULTI_PROCESS_SIGNALS = (signal.SIGINT,)


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
    """Turn signals into a request while the training runs (in the main thread alone)."""
    request = StopRequest()
    before = {number: signal.signal(number, request.handle) for number in signals}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Failure of a rank. The other ranks would wait in a reduction, and destroying an NCCL process group
# waits for them. So the failing rank reports and exits; the launcher ends the others by SIGTERM.


STORE_TIMEOUT = timedelta(seconds=10)


@contextmanager
def report_first_failure() -> Iterator[None]:
    """Report the error of the first rank that fails, and exit each failing rank at once.

    Without a launcher there is one process, and errors propagate.
    """
    if is_launched():
        end_with_launcher()
    try:
        yield
    except BaseException as error:
        if not is_launched():
            raise
        _leave(error)


def _leave(error: BaseException) -> NoReturn:
    if isinstance(error, InterruptedTrainingError | KeyboardInterrupt):
        code = INTERRUPTED
    else:
        code = PEER_LOST if is_peer_lost(error) else 1
    if code != PEER_LOST and _is_first_failure():
        if isinstance(error, InterruptedTrainingError):
            print(error, file=sys.stderr)
        elif sentence := explain(error):
            print(f"error: {sentence}", file=sys.stderr)
        else:
            traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an orderly exit would take the process group down


def is_peer_lost(error: BaseException) -> bool:
    """Whether an error means only that another rank is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _is_first_failure() -> bool:
    """Whether no other rank has failed, by the launcher's store; True if that is gone."""
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # type: ignore[attr-defined]
            *address, is_master=False, timeout=STORE_TIMEOUT
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return bool(store.add(f"cxr14/spoken/{attempt}", 1) == 1)
    except (KeyError, RuntimeError):
        return True


def run_training(
    name: str, processes: int, module: str, arguments: list[str], job: Callable[[], float | None]
) -> None:
    """Train in this process or in several, and print the best score.

    Args:
        name: of what is trained.
        processes: how many on this machine.
        module: of the command, for ``python -m``.
        arguments: of the command.
        job: trains, and returns the best macro AUROC on validation (None in all processes but
            the first).

    Raises:
        typer.Exit: with status 130, after a signal and one line.
    """
    if processes > 1 and not is_launched():
        launch(processes, module, *arguments)
    try:
        with report_first_failure():
            score = job()
    except InterruptedTrainingError as interruption:
        typer.secho(f"{interruption}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    if score is not None:
        typer.echo(f"{name}: best validation macro AUROC {score:.3f}")
