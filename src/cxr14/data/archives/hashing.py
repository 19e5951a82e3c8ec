"""The pass over all images that lists and hashes them: one archive, or some files, per worker.

The result is the same for any number of workers.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cxr14.data.archives.loose import loose_images, read_loose
from cxr14.data.archives.reading import NIH_ARCHIVE, describe, iterate_container
from cxr14.data.archives.refusals import TABLE_NOT_READ, Issue, Report
from cxr14.data.workers import end_with_parent
from cxr14.errors import UserError

CHUNK_BYTES = 64 * 2**20
"""Loose images that a worker takes at a time."""

ALONE_BYTES = 512 * 2**20
"""Less than this is not worth a second process, which takes a second or two to start."""

TICK = 0.2
"""Seconds between two looks at the workers' progress."""

_advance: Callable[[int], None] = Report().advance


@dataclass(frozen=True)
class Job:
    """An archive, or some files if `container` is ''; `size` is in packed bytes."""

    base: Path
    container: str
    members: list[str]
    size: int


Result = tuple[list[dict[str, object]], list[Issue]]


def hash_all(
    base: Path, containers: list[str], workers: int
) -> tuple[list[dict[str, object]], list[Issue]]:
    """List and hash every image of the containers.

    Args:
        base: folder of the containers.
        containers: see cxr14.data.archives.reading.find_containers.
        workers: processes; 0 means one per core, or none but this if there is little to do.

    Returns:
        Rows of a manifest, in the order of the containers and in their own order, and issues.

    Raises:
        UserError: archives are broken; all of them are named.
    """
    report = Report()
    jobs = list(_jobs(base, containers, report))
    total = sum(job.size for job in jobs)
    if workers == 0:
        workers = 1 if total < ALONE_BYTES else os.cpu_count() or 1
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), BarColumn(), *columns) as progress:
        task = progress.add_task("hash", total=total)
        if min(workers, len(jobs)) <= 1:
            results = _run_here(jobs, lambda count: progress.advance(task, count))
        else:
            results = _run(jobs, workers, lambda done: progress.update(task, completed=done))
    rows = [row for own, _ in results for row in own]
    return rows, report.issues + [issue for _, own in results for issue in own]


def _jobs(base: Path, containers: list[str], report: Report) -> Iterator[Job]:
    for container in containers:
        if container:
            yield Job(base, container, [], (base / container).stat().st_size)
            continue
        members: list[str] = []
        size = 0
        for member, count in loose_images(base, report):
            members.append(member)
            size += count
            if size >= CHUNK_BYTES:
                yield Job(base, "", members, size)
                members, size = [], 0
        if members:
            yield Job(base, "", members, size)


def hash_job(job: Job, advance: Callable[[int], None]) -> Result | UserError:
    """Hash one job's images; an archive that is broken is returned, so that others go on."""
    report = Report(advance=advance)
    if job.container:
        images = iterate_container(job.base, job.container, report)
    else:
        images = read_loose(job.base, job.members, report)
    try:
        rows = [describe(job.container, *image) for image in images]
        told = [issue for issue in report.issues if issue.issue != TABLE_NOT_READ]
        if job.container and not rows and not told:
            _note_without_images(job, report)
    except UserError as error:
        return error
    except OSError as error:
        place = job.base / (job.container or job.members[0])
        return UserError(f"{place} cannot be read ({error.strerror or error})")
    return rows, report.issues


def _note_without_images(job: Job, report: Report) -> None:
    """Report an archive without images.

    Raises:
        UserError: it is one of the set by its name.
    """
    content = ", ".join(report.members) if report.members else "no member"
    if NIH_ARCHIVE.fullmatch(PurePosixPath(job.container).name):
        raise UserError(
            f"{job.base / job.container}: no image in it; it holds {content}; fetch it again"
        )
    if not report.issues:
        report.skip(job.container, "", ("archive without images", f"it holds {content}"))


def _run_here(jobs: list[Job], advance: Callable[[int], None]) -> list[Result]:
    return _sound([hash_job(job, advance) for job in jobs])


def _run(jobs: list[Job], workers: int, show: Callable[[int], None]) -> list[Result]:
    """Run the jobs in processes, the largest first; return their results in their own order."""
    context = get_context("spawn")
    done = context.Value("q", 0)
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_share, initargs=(done,)
    ) as pool:
        order = sorted(range(len(jobs)), key=lambda index: -jobs[index].size)
        futures: dict[int, Future[Result | UserError]] = {
            index: pool.submit(_hash_shared, jobs[index]) for index in order
        }
        pending = set(futures.values())
        try:
            while pending:
                finished, pending = wait(pending, timeout=TICK)
                for future in finished:
                    future.result()
                show(done.value)
            return _sound([futures[index].result() for index in range(len(jobs))])
        except BrokenProcessPool:
            raise UserError(
                f"a process that hashes the images of {jobs[0].base} was killed (out of memory?); "
                f"run the same command again"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _share(done: Any) -> None:
    """Set up a worker: let it count its bytes where the parent sees them, and end with it."""
    global _advance
    end_with_parent()

    def advance(count: int) -> None:
        with done.get_lock():
            done.value += count

    _advance = advance


def _hash_shared(job: Job) -> Result | UserError:
    return hash_job(job, _advance)


def _sound(results: list[Result | UserError]) -> list[Result]:
    broken = [result for result in results if isinstance(result, UserError)]
    if broken:
        raise UserError("; and ".join(str(error) for error in broken))
    return [result for result in results if not isinstance(result, UserError)]
