"""Torch's elastic launcher, torchrun, as it is used on one machine.

It sets RANK, WORLD_SIZE and LOCAL_RANK for each process it starts, and ends all when one fails.
"""

import ctypes
import logging
import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130
LOST = os.EX_TEMPFAIL
"""Exit code of a process that saw another one go, and has nothing to say."""

PATIENCE = 120
"""Seconds from a wish to end to the end itself; processes agree on it every so many steps."""

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""

GOES_ON = "the same command goes on from the last checkpoint"


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "RANK" in os.environ


def end_with_launcher() -> None:
    """Let the system end this process when its launcher is gone, even by SIGKILL.

    It would train on, unseen, beside the next run of the same command. Linux alone can do it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def launch(count: int, module: str, *arguments: str) -> NoReturn:
    """Run a module in `count` processes of this machine, and end as they do.

    A wish to end (Ctrl-C, SIGTERM, a closed terminal) reaches them as SIGINT, whatever it was: the
    launcher's own SIGTERM ends those that are left when one has failed, and is no wish.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))
    logging.disable()  # torch's own words about processes; ours follow
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    own = ["--standalone", "--signals-to-handle=SIGINT", f"--shutdown-timeout={PATIENCE}"]
    try:
        words = [*own, f"--nproc-per-node={count}", "-m", module, *arguments]
        run(parse_args(words))  # type: ignore[no-untyped-call]
    except SignalException:
        raise SystemExit(INTERRUPTED) from None
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if told := explain(codes):
            print(f"error: {told}", file=sys.stderr)
        interrupted = INTERRUPTED in codes.values()
        raise SystemExit(INTERRUPTED if interrupted else 1) from None
    raise SystemExit(0)


def explain(codes: dict[int, int]) -> str | None:
    """Say what ended processes that could not say it themselves.

    Args:
        codes: exit code by rank of those that failed; negative for a signal.

    Returns:
        A sentence, or None if one of them has spoken.
    """
    if any(code > 0 and code != LOST for code in codes.values()):
        return None
    killed = {rank: -code for rank, code in codes.items() if code < 0}
    # SIGTERM is also what the launcher ends the others by.
    for rank in sorted(killed, key=lambda rank: (killed[rank] == signal.SIGTERM, rank)):
        name = signal.Signals(killed[rank]).name
        return f"process {rank} was ended by {name}, and the others with it; {GOES_ON}"
    return f"the processes of the training lost one another; {GOES_ON}"
