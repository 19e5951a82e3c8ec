"""Shards of the image cache, and their execution in processes or on a dask cluster.

The rows of a shard are written into the array and flushed to disk before its marker, a small JSON
file with the index rows, is renamed to its final name. So a shard with a marker is complete.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import kornia_rs
import numpy as np
import pandas as pd
import PIL

from cxr14.datasets import image_sources
from cxr14.datasets.image_sources import can_enter_anywhere, image_location, read_members
from cxr14.datasets.raw import RENEW
from cxr14.errors import UserError, explain
from cxr14.io import end_with_parent, read_json, write_json
from cxr14.preprocessing import complete, decode, dicom, photometry
from cxr14.preprocessing.cache import ARRAY
from cxr14.preprocessing.complete import ImageError, naming_disk

SHARD = 128
"""Images per shard. A compressed archive is one shard, as it can only be read from its start."""


@dataclass(frozen=True)
class Shard:
    """Some images of one container, and their rows in the array."""

    number: int
    base: Path
    container: str
    rows: list[int]
    members: list[str]
    hashes: list[str]

    def __str__(self) -> str:
        """Return the description for errors."""
        path = self.base / self.container
        return f"{path}: {len(self.rows)} images from {self.members[0]} to {self.members[-1]}"

    def digest(self) -> str:
        """Hash the sources of the rows, without the base, which may move."""
        parts = (self.container, self.rows, self.members, self.hashes)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class WorkDirectory:
    """Work directory of a run: the array, and a marker per finished shard.

    Attributes:
        folder: absolute, the same for all workers.
        size: pixels per side, S.
        code: :func:`code_version` of the stage.
    """

    folder: Path
    size: int
    code: str

    def marker(self, shard: Shard) -> Path:
        """Return the path of a shard's marker."""
        return self.folder / f"{shard.number:05d}.json"


@dataclass
class Outcome:
    """Outcome of a shard: unusable rows with issue and reason, and the fault that stopped it."""

    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    fault: str | None = None


def code_version() -> str:
    """Hash the code and the versions of the libraries that determine the cache's bytes."""
    modules = (decode, complete, dicom, image_sources, photometry)
    sources = [Path(str(module.__file__)).read_bytes() for module in modules]
    sources += [Path(__file__).read_bytes()]
    libraries = f"Pillow {PIL.__version__}, kornia-rs {kornia_rs.__version__}"
    libraries += f", {dicom.versions()}"
    return hashlib.sha256(b"\0".join([*sources, libraries.encode()])).hexdigest()


def cut(manifest: pd.DataFrame, base: Path) -> list[Shard]:
    """Cut a manifest into shards, independent of the number of workers."""
    shards: list[Shard] = []
    rows = manifest.assign(row=range(len(manifest)))
    for container, container_rows in rows.groupby("container", sort=True):
        single = container and not can_enter_anywhere(base / str(container))
        step = len(container_rows) if single else SHARD
        for start in range(0, len(container_rows), step):
            part = container_rows.iloc[start : start + step]
            columns = (part.row.tolist(), part.member.tolist(), part.sha256.tolist())
            shards.append(Shard(len(shards), base.resolve(), str(container), *columns))
    return shards


def is_finished(shard: Shard, work_dir: WorkDirectory) -> bool:
    """Tell whether all rows of the shard are in the array and made from these contents."""
    marker = work_dir.marker(shard)
    if not marker.exists():
        return False
    left: dict[str, Any] = read_json(marker)
    return bool(left["digest"] == shard.digest() and not left["bad"])


def shrink_shard(shard: Shard, work_dir: WorkDirectory) -> Outcome:
    """Shrink the images of one shard into their rows of the array.

    An unusable image does not stop the others: it is in the outcome and in the marker.

    Raises:
        UserError: this process runs other code than the stage.
    """
    if work_dir.code != code_version():
        raise UserError(
            f"{shard}: this worker runs another version of cxr14, Pillow, kornia-rs, pydicom or "
            f"python-gdcm than the stage; start the workers from the same checkout and environment"
        )
    if is_finished(shard, work_dir):  # by a worker that dask had declared dead
        return Outcome()
    work_dir.marker(shard).unlink(missing_ok=True)  # its rows are about to change
    outcome, index_rows = Outcome(), list[dict[str, object]]()
    left = dict(zip(shard.members, zip(shard.rows, shard.hashes, strict=True), strict=True))
    with (work_dir.folder / ARRAY).open("rb+", buffering=0) as array:
        start = _first_pixel(work_dir.folder / ARRAY)
        try:
            for member, content in read_members(shard.base, shard.container, shard.members):
                row, wanted = left.pop(member)
                try:
                    shrunk = _shrink_checked(shard, member, content, wanted, work_dir.size)
                except ImageError as error:
                    outcome.bad[row] = error.issue, str(error)
                    continue
                with naming_disk(work_dir.folder):
                    _write(array.fileno(), shrunk.pixels.tobytes(), start + row * work_dir.size**2)
                index_rows.append({"row": row, **_index_row(shrunk)})
        except (UserError, OSError) as error:
            _record_missing(shard, left, error, outcome)
        with naming_disk(work_dir.folder):
            os.fsync(array.fileno())
    if outcome.fault is None:
        names = index_rows[0] if index_rows else {}
        columns = {name: [row[name] for row in index_rows] for name in names}
        bad = {str(row): list(why) for row, why in outcome.bad.items()}
        with naming_disk(work_dir.folder):
            write_json(
                work_dir.marker(shard), {"digest": shard.digest(), "bad": bad, "index": columns}
            )
    return outcome


def _first_pixel(array: Path) -> int:
    """Return the offset of row 0 in the file."""
    return int(np.load(array, mmap_mode="r").offset)


def _write(file: int, content: bytes, offset: int) -> None:
    """Write at an offset; the pages of a mapping would count as memory of the worker."""
    written = os.pwrite(file, content, offset)
    if written != len(content):  # the rest would raise ENOSPC
        os.pwrite(file, content[written:], offset + written)


def _shrink_checked(
    shard: Shard, member: str, content: bytes, wanted: str, size: int
) -> decode.Shrunk:
    name = image_location(shard.container, member)
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ImageError(
            f"{name} is not the image that was listed (its hash differs); renew the manifest "
            f"with {RENEW}",
            "not as listed",
        )
    return decode.shrink(content, size, name)


def _index_row(shrunk: decode.Shrunk) -> dict[str, object]:
    values = vars(shrunk).copy()
    del values["pixels"]
    return values | {"remarks": list(shrunk.remarks)}


def _record_missing(
    shard: Shard, left: dict[str, tuple[int, str]], error: Exception, outcome: Outcome
) -> None:
    """Record missing images one by one if their container exists, else a fault of the shard."""
    if isinstance(error, FileNotFoundError) and (shard.base / shard.container).exists():
        for member, (row, _) in left.items():
            outcome.bad[row] = (
                "gone",
                f"{image_location(shard.container, member)} is gone or cannot be read; restore "
                f"it, or renew the manifest with {RENEW}",
            )
    elif isinstance(error, UserError):
        outcome.fault = str(error)
    else:
        outcome.fault = f"{shard}: {explain(error)}"


# Engines: functions that process shards and yield each with its outcome, as completed.

Engine = Callable[[list[Shard], WorkDirectory], Iterator[tuple[Shard, Outcome]]]

PATIENCE = 60.0
"""Maximum seconds without a dask worker."""

FETCH = 10.0
"""Timeout in seconds of the transfer of an outcome."""


class WorkerLostError(UserError):
    """Error of a dead worker. Finished shards are kept for the next run."""


def run_local(
    shards: list[Shard], work_dir: WorkDirectory, workers: int = 0
) -> Iterator[tuple[Shard, Outcome]]:
    """Process shards in local processes.

    Each worker is a pool of one process, so that the shard of a dead worker is known. The others
    finish their shards before the error is raised.

    Args:
        shards: shards to process.
        work_dir: work directory of the run.
        workers: processes; 0 means one per core.

    Raises:
        WorkerLostError: a process was killed; names its shard.
    """
    todo = sorted(shards, key=lambda shard: len(shard.rows))  # the longest is taken first
    count = min(workers or os.cpu_count() or 1, len(todo))
    context = get_context("spawn")
    pools = [ProcessPoolExecutor(1, context, initializer=end_with_parent) for _ in range(count)]
    running: dict[Future[Outcome], tuple[Shard, ProcessPoolExecutor]] = {}

    def start(pool: ProcessPoolExecutor) -> None:
        shard = todo.pop()
        running[pool.submit(shrink_shard, shard, work_dir)] = shard, pool

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


def run_dask(
    shards: list[Shard], work_dir: WorkDirectory, scheduler: str
) -> Iterator[tuple[Shard, Outcome]]:
    """Process shards on a running dask cluster, which retries the shards of dead workers.

    The workers must have the images and the work directory under the same paths as this process,
    and run the same checkout.

    Args:
        shards: shards to process.
        work_dir: work directory of the run.
        scheduler: address, for example tcp://127.0.0.1:8786.

    Raises:
        UserError: dask is not installed, or no scheduler responds.
        WorkerLostError: several workers died with one shard, or no worker is left.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("preprocess.engine: dask needs `pip install distributed`") from None
    try:
        client = Client(scheduler, timeout=10)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UserError(
            f"preprocess.scheduler: no scheduler responds at {scheduler} ({error})"
        ) from None
    with client:
        futures = {
            client.submit(shrink_shard, shard, work_dir, pure=False): shard
            for shard in sorted(shards, key=lambda shard: -len(shard.rows))
        }
        while futures:
            for future in _some_done(client, list(futures)):
                outcome = _dask_outcome(future, futures[future])
                if outcome is not None:
                    yield futures.pop(future), outcome


def _some_done(client: Any, futures: list[Any]) -> list[Any]:
    """Wait until some futures are done, at most PATIENCE seconds without a worker."""
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
    """Fetch an outcome; None if its worker died before, and dask repeats the shard."""
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
