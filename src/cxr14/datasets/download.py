"""Download of the files of a catalogue, with resume, retries and checks of size and MD5.

An incomplete file is called NAME.part. Bytes are only appended to it, so the next run resumes it
after any end of the process, SIGKILL included. Size and MD5 are checked before the rename to NAME.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from rich.progress import Progress
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util.retry import Retry

from cxr14.console import progress
from cxr14.datasets.nih import FetchError, RemoteFile, Response, TransientError, locate, open_remote
from cxr14.errors import FULL, full_disk, mount_point
from cxr14.io import file_md5, locked

RETRY = Retry(total=12, backoff_factor=1, backoff_max=60, backoff_jitter=1, retry_after_max=600)
"""Attempts without a new byte (about seven minutes) before an error."""

TIMEOUT = (15.0, 30.0)
"""Seconds to connect; seconds without a byte."""


class StoppedError(Exception):
    """Stop of a transfer: another file failed, or the user stopped the run."""


class _MismatchError(Exception):
    """Error of downloaded data that differs from the catalogue."""


@dataclass(frozen=True)
class FetchOptions:
    """Retries, timeouts and callbacks of a transfer.

    Attributes:
        retry: attempts and delays; reset whenever a file has grown.
        timeout: seconds to connect, seconds between two chunks.
        stop: event that ends the transfer at its next chunk.
        report: callback of the number of bytes present and a short status.
    """

    retry: Retry
    timeout: tuple[float, float]
    stop: Event
    report: Callable[[int, str], None]


def partial_path(target: Path) -> Path:
    """Return the path of a file while it is incomplete."""
    return target.with_name(f"{target.name}.part")


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def fetch_file(file: RemoteFile, location: str, target: Path, options: FetchOptions) -> bool:
    """Download one file to `target`; return False if it was complete already.

    Raises:
        FetchError: it cannot be downloaded, or differs from the catalogue twice.
        StoppedError: `options.stop` was set.
    """
    for path in (target, partial_path(target), _tag_path(partial_path(target))):
        if path.exists() and not path.is_file():  # reading a pipe would block
            raise FetchError(f"{path} is no regular file; remove it")
    if target.exists() and _find_fault(target, file, options) is None:
        return False
    by_hand = f"put {file.name} at {target} by hand, or set data.mirror, and run again"
    fault = ""
    for _ in range(2):
        try:
            _fill(file, location, partial_path(target), options)
            _finish(file, target, options)
            return True
        except _MismatchError as error:
            fault = str(error)
        except FetchError as error:
            raise FetchError(f"{file.name}: {error}; {by_hand}") from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            disk = full_disk(target.parent.resolve())
            raise FetchError(f"{file.name}: {disk} (downloaded bytes are kept)") from None
    raise FetchError(f"{file.name}: not the right file at {location}, twice: {fault}; {by_hand}")


def _finish(file: RemoteFile, target: Path, options: FetchOptions) -> None:
    """Check the partial file, flush it to disk and rename it."""
    part = partial_path(target)
    if fault := _find_fault(part, file, options):
        _remove_partial(part)
        raise _MismatchError(fault)
    with part.open("rb+") as file_object:
        os.fsync(file_object.fileno())
    part.replace(target)  # the old file may be a hard link of DVC's cache
    _tag_path(part).unlink(missing_ok=True)


def _find_fault(path: Path, file: RemoteFile, options: FetchOptions) -> str | None:
    """Return how a file differs from the catalogue, or None."""
    size = file_size(path)
    if file.bytes not in (None, size):
        return f"{size:,} bytes instead of {file.bytes:,}"
    if file.md5 is None:
        return None
    options.report(size, "check")
    md5 = file_md5(path)
    return None if md5 == file.md5 else f"MD5 {md5} instead of {file.md5}"


def _fill(file: RemoteFile, location: str, part: Path, options: FetchOptions) -> None:
    """Append to the partial file until it is complete, with retries after transient errors."""
    retry, farthest = options.retry, file_size(part)
    whole = file.bytes is not None and farthest == file.bytes
    while not whole:
        try:
            _resume(file, location, part, options)
            whole = True
        except TransientError as fault:
            here = file_size(part)
            retry = options.retry if here > farthest else retry
            farthest = max(here, farthest)
            if fault.restart:
                _remove_partial(part)
            retry = _wait(fault, retry, location, here, options)


def _resume(file: RemoteFile, location: str, part: Path, options: FetchOptions) -> None:
    """Request and write the rest of a partial file, or all of it if a resume is not safe."""
    tag = _read_tag(part)
    here = file_size(part)
    checkable = file.md5 is not None or tag is not None
    start = here if checkable and here <= (file.bytes or here) else 0
    with open_remote(location, start, tag, options.timeout) as response:
        if None not in (response.total, file.bytes) and response.total != file.bytes:
            raise _MismatchError(f"{response.total:,} bytes announced instead of {file.bytes:,}")
        if response.start and tag and response.tag not in (None, tag):
            raise TransientError("the file has changed on the server", restart=True)
        _write(response, file, part, options)
    if file_size(part) < (file.bytes or response.total or 0):
        raise TransientError(f"the response ended at byte {file_size(part):,}")


def _write(response: Response, file: RemoteFile, part: Path, options: FetchOptions) -> None:
    here = response.start
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if here else "wb") as out:
        if response.tag:  # the partial file is empty, or of the same version
            _tag_path(part).write_text(response.tag, "latin-1")
        else:
            _tag_path(part).unlink(missing_ok=True)
        for chunk in response.chunks:
            out.write(chunk)
            here += len(chunk)
            options.report(here, "")
            if options.stop.is_set():
                raise StoppedError
            if file.bytes is not None and here > file.bytes:
                out.truncate(0)
                raise _MismatchError(f"more than {file.bytes:,} bytes")


def _remove_partial(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_path(part).unlink(missing_ok=True)


def _tag_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_tag(part: Path) -> str | None:
    """Return the validator of a partial file, or None if it is missing or invalid."""
    path = _tag_path(part)
    tag = path.read_bytes().decode("latin-1") if path.exists() else ""
    return tag if re.fullmatch(r'"[!#-~\x80-\xff]*"', tag) else None


def _wait(
    fault: TransientError, retry: Retry, location: str, here: int, options: FetchOptions
) -> Retry:
    """Wait for the longer of Retry-After and backoff; return the remaining retries."""
    try:
        retry = retry.increment("GET", location, error=fault)
    except MaxRetryError:
        times = (options.retry.total or 0) + 1
        raise FetchError(
            f"{location} failed {times} times in a row, at last with: {fault} "
            "(downloaded bytes are kept)"
        ) from None
    try:
        requested = retry.parse_retry_after(fault.retry_after) if fault.retry_after else 0
    except InvalidHeader:
        requested = 0
    delay = max(requested, retry.get_backoff_time())
    options.report(here, f"waits {delay:.0f} s: {fault}" if delay else "")
    if options.stop.wait(delay):
        raise StoppedError
    return retry


def fetch_all(
    files: Sequence[RemoteFile],
    folder: Path,
    mirror: str | None = None,
    connections: int = 4,
    retry: Retry = RETRY,
    timeout: tuple[float, float] = TIMEOUT,
) -> None:
    """Download files to ``folder/NAME`` and check them; files that are complete stay untouched.

    Args:
        files: files to download, in this order.
        folder: target folder; incomplete files stay in it as NAME.part.
        mirror: None, or a web address or folder in place of all hosts.
        connections: number of concurrent downloads.
        retry: attempts without a new byte, and the delays between them.
        timeout: seconds to connect, seconds between two chunks.

    Raises:
        FetchError: a file cannot be downloaded or differs from the catalogue, or the disk is full.
        FileNotFoundError: the mirror is a missing folder.
    """
    locations = [locate(file, mirror) for file in files]
    _make_folder(folder)
    stop = Event()
    waiting = f"another process fetches into {folder}; waiting for it"
    with locked(folder / ".lock", waiting), progress("bytes") as bar:
        check_free_space(
            folder, sum((file.bytes or 0) - _present_bytes(file, folder) for file in files)
        )
        table = _ProgressTable(bar, files, folder)

        def work(file: RemoteFile, location: str) -> None:
            with table.row(file) as report:
                options = FetchOptions(retry, timeout, stop, report)
                table.done(file, fetch_file(file, location, folder / file.name, options))

        with ThreadPoolExecutor(connections) as pool:
            jobs = [pool.submit(work, *pair) for pair in zip(files, locations, strict=True)]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:  # Ctrl-C too; partial files are kept
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise


def _make_folder(folder: Path) -> None:
    """Create the folder of the downloads.

    Raises:
        FetchError: it is a broken link, or a file of that name exists.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        paths = (folder, *folder.parents)
        path = next(path for path in paths if path.is_symlink() or path.exists())
        target = path.readlink() if path.is_symlink() else None
        what = f"a link to {target}, which is no folder" if target else "no folder"
        raise FetchError(
            f"{path}, where downloads are kept, is {what}; mount the disk, or remove {path}"
        ) from None


def check_free_space(folder: Path, needed: int) -> None:
    """Raise FetchError if the disk of a folder has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder} needs {needed / 1e9:.1f} GB more and its file system "
            f"{mount_point(folder.resolve())} has {free / 1e9:.1f} GB free; free some, or put a "
            f"link to a folder on a larger disk in its place"
        )


def _present_bytes(file: RemoteFile, folder: Path) -> int:
    """Return the bytes of a file that are present, by size."""
    target = folder / file.name
    size = file_size(target) if target.exists() else file_size(partial_path(target))
    return min(size, file.bytes or size)


class _ProgressTable:
    """Progress display: one row for all files, one for each active download."""

    def __init__(self, progress: Progress, files: Sequence[RemoteFile], folder: Path) -> None:
        self.progress, self.lock = progress, Lock()
        self.here = {file.name: _present_bytes(file, folder) for file in files}
        sizes = [file.bytes for file in files]
        total = None if None in sizes else sum(filter(None, sizes))
        self.all = progress.add_task("all files", total=total, completed=sum(self.here.values()))

    @contextmanager
    def row(self, file: RemoteFile) -> Iterator[Callable[[int, str], None]]:
        """Show a row during a download; yield its callback of bytes and status."""
        task = self.progress.add_task(file.name, total=file.bytes, completed=self.here[file.name])

        def report(here: int, note: str) -> None:
            with self.lock:
                self.here[file.name] = here
                self.progress.update(self.all, completed=sum(self.here.values()))
            self.progress.update(task, completed=here, description=f"{file.name} {note}".strip())

        try:
            yield report
        finally:
            self.progress.remove_task(task)

    def done(self, file: RemoteFile, fetched: bool) -> None:
        """Print the result of a file."""
        size = f"{self.here[file.name] / 1e6:,.1f} MB"
        checked = "MD5 right" if file.md5 else "no MD5 known"
        what = "fetched" if fetched else "here already"
        self.progress.console.print(f"{file.name}: {size} {what}, {checked}", highlight=False)
