"""Manifest of images: listing and hashing in parallel, with data issues.

The result does not depend on the number of workers.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from cxr14.console import progress
from cxr14.datasets.archive_kinds import (
    SEPARATOR,
    TABLE_NOT_READ,
    Issue,
    Report,
    is_archive_name,
    is_image,
)
from cxr14.datasets.folder_images import DEPTH, files_below, loose_images, read_loose
from cxr14.datasets.image_sources import (
    MANIFEST_COLUMNS,
    NIH_ARCHIVE,
    check_manifest,
    describe,
    find_containers,
    image_location,
    iterate_container,
)
from cxr14.datasets.issues import issue_table
from cxr14.errors import UserError
from cxr14.io import end_with_parent

CHUNK_BYTES = 64 * 2**20
"""Loose images of a job."""

ALONE_BYTES = 512 * 2**20
"""Minimum bytes for more than one process."""

TICK = 0.2
"""Seconds between two updates of the progress bar."""

_advance: Callable[[int], None] = Report().advance


@dataclass(frozen=True)
class Job:
    """An archive, or some files if `container` is ''; `size` is in packed bytes."""

    base: Path
    container: str
    members: list[str]
    size: int


Result = tuple[list[dict[str, object]], list[Issue]]


def hash_all(base: Path, containers: list[str], workers: int) -> Result:
    """List and hash every image of the containers.

    Args:
        base: folder of the containers.
        containers: see cxr14.datasets.image_sources.find_containers.
        workers: processes; 0 means one per core, or only this one for few bytes.

    Returns:
        Rows of a manifest, in the order of the containers and then of their images, and issues.

    Raises:
        UserError: archives are broken; all of them are named.
    """
    report = Report()
    jobs = list(_jobs(base, containers, report))
    total = sum(job.size for job in jobs)
    if workers == 0:
        workers = 1 if total < ALONE_BYTES else os.cpu_count() or 1
    with progress("bytes") as bar:
        task = bar.add_task("hash", total=total)
        if min(workers, len(jobs)) <= 1:
            results = [hash_job(job, lambda count: bar.advance(task, count)) for job in jobs]
        else:
            results = _run(jobs, workers, lambda done: bar.update(task, completed=done))
    if broken := [result for result in results if isinstance(result, UserError)]:
        raise UserError("; and ".join(map(str, broken)))
    sound = [result for result in results if not isinstance(result, UserError)]
    rows = [row for images, _ in sound for row in images]
    return rows, report.issues + [issue for _, issues in sound for issue in issues]


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
    """Hash the images of a job; the error of a broken archive is returned, so that others go on."""
    report = Report(advance=advance)
    if job.container:
        images = iterate_container(job.base, job.container, report)
    else:
        images = read_loose(job.base, job.members, report)
    try:
        rows = [describe(job.container, *image) for image in images]
        if job.container and not rows:
            _report_no_images(job, report)
    except UserError as error:
        return error
    except OSError as error:
        path = job.base / (job.container or job.members[0])
        return UserError(f"{path} cannot be read ({error.strerror or error})")
    return rows, report.issues


def _report_no_images(job: Job, report: Report) -> None:
    """Report an archive without images, unless its issues explain that already.

    Raises:
        UserError: it is one of the set by its name.
    """
    if any(issue.issue != TABLE_NOT_READ for issue in report.issues):
        return
    content = ", ".join(report.members) if report.members else "no member"
    if NIH_ARCHIVE.fullmatch(PurePosixPath(job.container).name):
        raise UserError(
            f"{job.base / job.container}: no image in it; it holds {content}; fetch it again"
        )
    if not report.issues:
        report.add(job.container, "", ("archive without images", f"it holds {content}"))


def _run(jobs: list[Job], workers: int, show: Callable[[int], None]) -> list[Result | UserError]:
    """Run the jobs in processes, the largest first; return their results in the order of jobs."""
    context = get_context("spawn")
    done = context.Value("q", 0)
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_share, initargs=(done,)
    ) as pool:
        largest_first = sorted(range(len(jobs)), key=lambda index: -jobs[index].size)
        futures = {index: pool.submit(_hash_shared, jobs[index]) for index in largest_first}
        pending = set(futures.values())
        try:
            while pending:
                finished, pending = wait(pending, timeout=TICK)
                show(done.value)
                for future in finished:
                    future.result()  # an unexpected error stops the others
            return [futures[index].result() for index in range(len(jobs))]
        except BrokenProcessPool:
            raise UserError(
                f"a process that hashes the images of {jobs[0].base} was killed (out of memory?); "
                f"run the same command again"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _share(done: Any) -> None:
    """Initialize a worker: it adds its bytes to `done` and ends with the parent."""
    global _advance
    end_with_parent()

    def advance(count: int) -> None:
        with done.get_lock():
            done.value += count

    _advance = advance


def _hash_shared(job: Job) -> Result | UserError:
    return hash_job(job, _advance)


@dataclass(frozen=True)
class Listing:
    """The images of a source.

    Attributes:
        manifest: one row per image, sorted by image; columns MANIFEST_COLUMNS.
        issues: files and members that were skipped or are odd, columns ISSUE_COLUMNS of
            cxr14.datasets.issues; kinds are those of UNUSABLE there and, among others, "repeated"
            (skipped: image name and content of another one), "same content" (kept: another image
            has the same content) and "other name" (kept: a .jpg, say, listed under the table's
            name).
    """

    manifest: pd.DataFrame
    issues: pd.DataFrame

    def counts(self) -> dict[str, int]:
        """Count the issues, and the images whose file has another name than in the table."""
        kinds = self.issues.issue.value_counts()
        skipped = self.issues[self.issues.action == "skipped"]
        return {
            "refused_members": int((~skipped.issue.isin(["repeated", TABLE_NOT_READ])).sum()),
            "repeated_images": int(kinds.get("repeated", 0)),
            "images_of_same_content": int(kinds.get("same content", 0)),
            "images_of_other_extension": int(kinds.get("other name", 0)),
        }


def make_listing(rows: list[dict[str, object]], issues: list[Issue]) -> Listing:
    """Return the listing of the images in the containers; of repeated images the first.

    Raises:
        UserError: one image name stands for contents that differ.
    """
    all_rows = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
    check_manifest(all_rows)
    repeated = all_rows.image.duplicated()
    kept = all_rows[~repeated].sort_values("image", ignore_index=True)
    more = _odd_images(all_rows[repeated], kept)
    table = issue_table("download", [*issues, *more])
    order = ["issue", "file", "name"]
    return Listing(kept, table.sort_values(order, ignore_index=True, kind="stable"))


def _odd_images(repeated: pd.DataFrame, kept: pd.DataFrame) -> Iterator[Issue]:
    """Yield the issues of repeated images, equal contents and other names."""
    first = kept.set_index("image").loc[repeated.image]
    locations = map(image_location, first.container, first.member)
    for row, where in zip(repeated.itertuples(), locations, strict=True):
        detail = f"the same as {where}, which is taken"
        yield Issue(str(row.container), str(row.member), "repeated", "skipped", detail)
    for row in kept[kept.sha256.duplicated(keep=False)].itertuples():
        detail = f"sha256 {row.sha256}"
        yield Issue(str(row.container), str(row.member), "same content", "kept", detail)
    for image, container, member in zip(kept.image, kept.container, kept.member, strict=True):
        if SEPARATOR.split(member)[-1] != image:
            yield Issue(container, member, "other name", "kept", f"listed as {image}")


# The source `folder`: images of a user in NIH's or Kaggle's layout, which are not copied.

LAYOUTS = (
    "images/*.png, images_001/images/*.png, *.png (or .jpg, .jpeg, .dcm, .dicom), archives of them "
    f"(.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip), up to {DEPTH} folders deep"
)
MAX_LISTED = 3
"""Issues that an error lists."""

MISSING_COLUMNS = ("image", "container", "member", "reason")


def list_images(folder: Path, workers: int = 0) -> Listing:
    """List and hash every image of a folder with archives, images or folders of them.

    Raises:
        FileNotFoundError: there is no such folder.
        UserError: it holds no image in a known layout, one image in two contents, or broken
            archives.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} (data.folder) is not a folder")
    report = Report()
    containers = find_containers(folder, report)
    rows, issues = hash_all(folder, containers, workers) if containers else ([], [])
    issues = [*report.issues, *issues]
    if not rows:
        raise UserError(_no_image(folder, containers, issues))
    return make_listing(rows, issues)


def _no_image(folder: Path, containers: list[str], issues: list[Issue]) -> str:
    """Return the error message of a folder without images."""
    archives = [name for name in containers if name]
    location = f"{', '.join(archives[:MAX_LISTED])} of {folder}" if archives else str(folder)
    details = [
        f"{' '.join(filter(None, (issue.file, issue.name)))}: {issue.issue} ({issue.detail})"
        for issue in issues[:MAX_LISTED]
    ]
    more = f"; {len(issues)} issues, first " if len(issues) > MAX_LISTED else "; " * bool(details)
    return f"no image in {location} (data.folder){more}{'; '.join(details)}; it may hold {LAYOUTS}"


def list_names(folder: Path) -> list[str]:
    """Return the sorted paths of the images and archives of a folder, by their names only."""
    names = (name for name, _ in files_below(folder, Report()))
    return sorted(name for name in names if is_image(name) or is_archive_name(name))


def missing_images(
    manifest: pd.DataFrame, base: Path, container_bytes: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """List the images that are gone or have another size, without reading them.

    Of an image in an archive only the archive is checked.

    Args:
        manifest: see cxr14.datasets.image_sources.
        base: folder of the containers.
        container_bytes: known sizes of the archives.

    Returns:
        image, container, member and reason; empty if none is missing.
    """
    sizes = container_bytes or {}
    gone = {
        str(name): _stat_fault(f"{base}/{name}", sizes.get(str(name)))
        for name in manifest.container.unique()
        if name
    }
    files = zip(manifest.container, manifest.member, manifest.bytes, strict=True)
    reasons = [  # no Path: 112,120 of them would take longer than their stats
        gone[container] if container else _stat_fault(f"{base}/{member}", size)
        for container, member, size in files
    ]
    table = manifest.assign(reason=pd.Series(reasons, index=manifest.index, dtype="object"))
    return table.loc[table.reason.notna(), list(MISSING_COLUMNS)].reset_index(drop=True)


def _stat_fault(path: str, size: int | None) -> str | None:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(facts.st_mode):
        return f"{path} is no file any more"
    if size is not None and facts.st_size != size:
        return f"{path} has {facts.st_size} bytes, and had {size} when it was listed"
    return None
