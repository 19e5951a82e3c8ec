"""How several processes end where one cannot go on: one says why, and none waits for another.

A process that fails leaves the others in a sum that never comes. It must not take its process group
down either: with NCCL that waits for the others, as they wait for us. So it says why and is gone;
torch's launcher notices, and ends the others by SIGTERM.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import torch.distributed as dist

from cxr14.errors import explain
from cxr14.training.interruption import InterruptedTrainingError
from cxr14.training.launcher import INTERRUPTED, LOST, end_with_launcher, is_launched

PATIENCE = timedelta(seconds=10)


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first of several processes that fails say why, and end each of them at once.

    Without a launcher there is one process, and its errors go their way.
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
        code = LOST if is_lost(error) else 1
    if code != LOST and _speaks_first():
        if isinstance(error, InterruptedTrainingError):
            print(error, file=sys.stderr)
        elif sentence := explain(error):
            print(f"error: {sentence}", file=sys.stderr)
        else:
            traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an orderly exit would take the process group down


def is_lost(error: BaseException) -> bool:
    """Whether an error says no more than that another process is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _speaks_first() -> bool:
    """Ask the launcher's store, which outlives us; where it is gone, everybody speaks."""
    try:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # type: ignore[attr-defined]
            *place, is_master=False, timeout=PATIENCE
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return bool(store.add(f"cxr14/spoken/{attempt}", 1) == 1)
    except (KeyError, RuntimeError):
        return True
