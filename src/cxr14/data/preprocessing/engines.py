"""Where shards are worked off: in processes of this machine, or on a dask cluster.

An engine takes the shards and yields each with its outcome, in the order in which they end. The
work itself, and so every byte of the cache, is the same.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from cxr14.data.preprocessing.shards import Outcome, Room, Shard, shrink_shard
from cxr14.data.workers import end_with_parent
from cxr14.errors import UserError

Engine = Callable[[list[Shard], Room], Iterator[tuple[Shard, Outcome]]]

PATIENCE = 60.0
"""Seconds without a single dask worker after which the run ends."""

FETCH = 10.0
"""Seconds in which the outcome of a finished shard, a few numbers, has to arrive."""


class WorkerLostError(UserError):
    """A worker died. What was finished stays; the same command goes on from there."""


def run_local(shards: list[Shard], room: Room, workers: int = 0) -> Iterator[tuple[Shard, Outcome]]:
    """Work in processes of this machine.

    Each worker is a pool of one process, so that when one dies it is known over which shard. The
    others then end theirs, and leave their markers, before the error is raised.

    Args:
        shards: what is to be done.
        room: where it goes.
        workers: processes; 0 means one per core.

    Raises:
        WorkerLostError: a process was killed; its shard is named.
    """
    todo = sorted(shards, key=lambda shard: len(shard.rows))  # the longest is taken first
    count = min(workers or os.cpu_count() or 1, len(todo))
    context = get_context("spawn")
    pools = [ProcessPoolExecutor(1, context, initializer=end_with_parent) for _ in range(count)]
    running: dict[Future[Outcome], tuple[Shard, ProcessPoolExecutor]] = {}

    def start(pool: ProcessPoolExecutor) -> None:
        shard = todo.pop()
        running[pool.submit(shrink_shard, shard, room)] = shard, pool

    try:
        for pool in pools:
            start(pool)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                shard, pool = running.pop(future)
                yield shard, _outcome(future, shard)
                if todo:
                    start(pool)
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _outcome(future: Future[Outcome], shard: Shard) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        raise WorkerLostError(
            f"the worker of {shard} was killed (out of memory?); what is finished is kept: run "
            f"the same command again, with fewer preprocess.workers if memory was short"
        ) from None


def run_dask(shards: list[Shard], room: Room, scheduler: str) -> Iterator[tuple[Shard, Outcome]]:
    """Work on a running dask cluster; a shard whose worker dies is given to another one.

    Its workers have to see the images and the room under the same paths as this process, and
    run the same checkout.

    Args:
        shards: what is to be done.
        room: where it goes.
        scheduler: address, for example tcp://127.0.0.1:8786.

    Raises:
        UserError: dask is not installed, or no scheduler answers there.
        WorkerLostError: one shard cost several workers, or none is left.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("preprocess.engine: dask needs `pip install distributed`") from None
    try:
        client = Client(scheduler, timeout=10)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UserError(f"preprocess.scheduler: nobody answers at {scheduler} ({error})") from None
    with client:
        futures = {
            client.submit(shrink_shard, shard, room, pure=False): shard
            for shard in sorted(shards, key=lambda shard: -len(shard.rows))
        }
        while futures:
            for future in _some_done(client, list(futures)):
                outcome = _dask_outcome(future, futures[future])
                if outcome is not None:
                    yield futures.pop(future), outcome


def _some_done(client: Any, futures: list[Any]) -> list[Any]:
    """Wait until some futures are done; not for ever if there is nobody to do them."""
    from distributed import wait as wait_for

    idle = 0.0
    while idle < PATIENCE:
        try:
            some = wait_for(futures, timeout=2, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]
            return list(some.done)
        except TimeoutError:
            idle = 0.0 if client.scheduler_info()["workers"] else idle + 2
    raise WorkerLostError(
        f"{client.scheduler.address} has had no worker for {PATIENCE:.0f} s, and {len(futures)} "
        f"shards wait; what is finished is kept: start workers and run the same command again"
    )


def _dask_outcome(future: Any, shard: Shard) -> Outcome | None:
    """Fetch an outcome; None if its worker died before it was fetched, and dask does it again."""
    from distributed import CancelledError, KilledWorker

    try:
        outcome: Outcome = future.result(timeout=FETCH)
    except TimeoutError:
        return None
    except (KilledWorker, CancelledError) as error:
        raise WorkerLostError(
            f"the cluster gave up on {shard} ({type(error).__name__}); what is finished is kept: "
            f"look at the workers' logs and run the same command again"
        ) from None
    return outcome
