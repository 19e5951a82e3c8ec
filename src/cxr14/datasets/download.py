"""One file, fetched to the end: resumed, retried, checked, and only then given its name.

While it is incomplete it is called NAME.part, and bytes are only ever added to its end, so
whatever ends the process (SIGKILL included), the next run goes on from there. Size and MD5 are
checked before the rename; the file then holds what the catalogue says, whatever happened.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from filelock import FileLock, Timeout
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util.retry import Retry

from cxr14.datasets.nih import Answer, FetchError, PassingError, RemoteFile, ask, locate
from cxr14.errors import FULL, full_disk, mount_point

RETRY = Retry(total=12, backoff_factor=1, backoff_max=60, backoff_jitter=1, retry_after_max=600)
"""Attempts without a new byte (seven minutes of them), then it is an error."""

TIMEOUT = (15.0, 30.0)
"""Seconds to connect; seconds without a byte."""


class StoppedError(Exception):
    """Another file failed, or the user stopped the run."""


class _WrongFileError(Exception):
    """What came is not the file of the catalogue."""


@dataclass(frozen=True)
class Terms:
    """How to fetch: patience, and whom to tell.

    Attributes:
        retry: attempts and delays; begun anew whenever a file has grown.
        timeout: seconds to connect, seconds between two pieces.
        stop: set it to end the transfer at its next piece.
        tell: is given the bytes that are here, and a word on what is going on.
    """

    retry: Retry
    timeout: tuple[float, float]
    stop: Event
    tell: Callable[[int, str], None]


def part_of(target: Path) -> Path:
    """Return the name of a file while it is incomplete."""
    return target.with_name(f"{target.name}.part")


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 if it is not there."""
    return path.stat().st_size if path.exists() else 0


def fetch_file(file: RemoteFile, place: str, target: Path, terms: Terms) -> bool:
    """Bring one file to `target`; return False if the right one was there already.

    Raises:
        FetchError: it cannot be had, or is not the file of the catalogue, twice.
        StoppedError: the terms' `stop` was set.
    """
    for path in (target, part_of(target), _tag_of(part_of(target))):
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise FetchError(f"{path} is no regular file; remove it")
    if target.exists() and _find_fault(target, file, terms) is None:
        return False
    by_hand = f"put {file.name} at {target} by hand, or set data.mirror, and run again"
    fault = ""
    for _ in range(2):
        try:
            _fill(file, place, part_of(target), terms)
            _finish(file, target, terms)
            return True
        except _WrongFileError as error:
            fault = str(error)
        except FetchError as error:
            raise FetchError(f"{file.name}: {error}; {by_hand}") from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            disk = full_disk(target.parent.resolve())
            raise FetchError(f"{file.name}: {disk} (what has come is kept)") from None
    raise FetchError(f"{file.name}: not the right file at {place}, twice: {fault}; {by_hand}")


def _finish(file: RemoteFile, target: Path, terms: Terms) -> None:
    """Check the part, flush it to disk and give it its name."""
    part = part_of(target)
    if fault := _find_fault(part, file, terms):
        _drop(part)
        raise _WrongFileError(fault)
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    part.replace(target)  # never written through: the old file may be a link of DVC's cache
    _tag_of(part).unlink(missing_ok=True)


def _find_fault(path: Path, file: RemoteFile, terms: Terms) -> str | None:
    """Say in what a file differs from the catalogue; None if in nothing that is known."""
    size = size_of(path)
    if file.bytes not in (None, size):
        return f"{size:,} bytes instead of {file.bytes:,}"
    if file.md5 is None:
        return None
    terms.tell(size, "check")
    with path.open("rb") as content:
        md5 = hashlib.file_digest(content, "md5").hexdigest()
    return None if md5 == file.md5 else f"MD5 {md5} instead of {file.md5}"


def _fill(file: RemoteFile, place: str, part: Path, terms: Terms) -> None:
    """Add to the part until it is whole, through every passing fault."""
    retry, farthest = terms.retry, size_of(part)
    whole = file.bytes is not None and farthest == file.bytes
    while not whole:
        try:
            _go_on(file, place, part, terms)
            whole = True
        except PassingError as fault:
            here = size_of(part)
            retry = terms.retry if here > farthest else retry
            farthest = max(here, farthest)
            if fault.restart:
                _drop(part)
            retry = _wait(fault, retry, place, here, terms)


def _go_on(file: RemoteFile, place: str, part: Path, terms: Terms) -> None:
    """Ask for the rest of a part and write it; the whole file if that cannot be done safely."""
    tag = _read_tag(part)
    here = size_of(part)
    checkable = file.md5 is not None or tag is not None
    start = here if checkable and here <= (file.bytes or here) else 0
    with ask(place, start, tag, terms.timeout) as answer:
        if None not in (answer.total, file.bytes) and answer.total != file.bytes:
            raise _WrongFileError(f"{answer.total:,} bytes announced instead of {file.bytes:,}")
        if answer.start and tag and answer.tag not in (None, tag):
            raise PassingError("the file has changed on the server", restart=True)
        _write(answer, file, part, terms)
    if size_of(part) < (file.bytes or answer.total or 0):
        raise PassingError(f"the answer ended at byte {size_of(part):,}")


def _write(answer: Answer, file: RemoteFile, part: Path, terms: Terms) -> None:
    here = answer.start
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if here else "wb") as out:
        if answer.tag:  # the part is empty, or of this same version
            _tag_of(part).write_text(answer.tag, "latin-1")
        else:
            _tag_of(part).unlink(missing_ok=True)
        for chunk in answer.chunks:
            out.write(chunk)
            here += len(chunk)
            terms.tell(here, "")
            if terms.stop.is_set():
                raise StoppedError
            if file.bytes is not None and here > file.bytes:
                out.truncate(0)
                raise _WrongFileError(f"more than {file.bytes:,} bytes")


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)


def _tag_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_tag(part: Path) -> str | None:
    """Return the validator of a part; None if there is none, or none that a request can hold."""
    path = _tag_of(part)
    tag = path.read_bytes().decode("latin-1") if path.exists() else ""
    return tag if re.fullmatch(r'"[!#-~\x80-\xff]*"', tag) else None


def _wait(fault: PassingError, retry: Retry, place: str, here: int, terms: Terms) -> Retry:
    """Wait as long as the server says or the backoff asks; return what patience is left."""
    try:
        retry = retry.increment("GET", place, error=fault)
    except MaxRetryError:
        times = (terms.retry.total or 0) + 1
        raise FetchError(
            f"{place} failed {times} times in a row, at last with: {fault} (what has come is kept)"
        ) from None
    try:
        asked = retry.parse_retry_after(fault.retry_after) if fault.retry_after else 0
    except InvalidHeader:
        asked = 0
    delay = max(asked, retry.get_backoff_time())
    terms.tell(here, f"waits {delay:.0f} s: {fault}" if delay else "")
    if terms.stop.wait(delay):
        raise StoppedError
    return retry


# Files of a catalogue, fetched several at once into a folder that outlives the run.


COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)


def fetch_all(
    files: Sequence[RemoteFile],
    folder: Path,
    mirror: str | None = None,
    connections: int = 4,
    retry: Retry = RETRY,
    timeout: tuple[float, float] = TIMEOUT,
) -> None:
    """Bring every file to ``folder/NAME``, whole and checked; what is right stays untouched.

    Args:
        files: what to fetch, in this order.
        folder: where to; incomplete files wait in it as NAME.part.
        mirror: None, a web address or a folder that stands in for all hosts.
        connections: files fetched at once.
        retry: attempts without a new byte, and the delays between them.
        timeout: seconds to connect, seconds between two pieces.

    Raises:
        FetchError: a file cannot be had or is not the right one, or the disk is too small.
        FileNotFoundError: the mirror is a folder that is not there.
    """
    places = [locate(file, mirror) for file in files]
    _make_folder(folder)
    stop = Event()
    with _alone(folder), Progress(*COLUMNS) as progress:
        check_room(folder, sum((file.bytes or 0) - _here(file, folder) for file in files))
        board = _Board(progress, files, folder)

        def work(file: RemoteFile, place: str) -> None:
            with board.row(file) as tell:
                terms = Terms(retry, timeout, stop, tell)
                board.done(file, fetch_file(file, place, folder / file.name, terms))

        with ThreadPoolExecutor(connections) as pool:
            jobs = [pool.submit(work, *pair) for pair in zip(files, places, strict=True)]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:  # Ctrl-C too: parts are kept, threads end at their next piece
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise


def _make_folder(folder: Path) -> None:
    """Make the folder of the downloads.

    Raises:
        FetchError: a link to another disk, say, leads nowhere, or a file stands in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        path = next(one for one in (folder, *folder.parents) if one.is_symlink() or one.exists())
        target = path.readlink() if path.is_symlink() else None
        what = f"a link to {target}, which is no folder" if target else "no folder"
        raise FetchError(
            f"{path}, where downloads are kept, is {what}; mount the disk, or remove {path}"
        ) from None


def check_room(folder: Path, needed: int) -> None:
    """Refuse to start what does not fit.

    Args:
        folder: a folder of the disk in question.
        needed: bytes.

    Raises:
        FetchError: with both figures.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder} needs {needed / 1e9:.1f} GB more and its file system "
            f"{mount_point(folder.resolve())} has {free / 1e9:.1f} GB free; free some, or put a "
            f"link to a folder on a larger disk in its place"
        )


def _here(file: RemoteFile, folder: Path) -> int:
    """Bytes of a file that need not be fetched any more, as far as sizes tell."""
    target = folder / file.name
    size = size_of(target) if target.exists() else size_of(part_of(target))
    return min(size, file.bytes or size)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write to the folder; a second one waits, and says so."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process fetches into {folder}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Board:
    """The progress display: one row for all, one for each file under way."""

    def __init__(self, progress: Progress, files: Sequence[RemoteFile], folder: Path) -> None:
        self.progress, self.lock = progress, Lock()
        self.here = {file.name: _here(file, folder) for file in files}
        sizes = [file.bytes for file in files]
        total = None if None in sizes else sum(filter(None, sizes))
        self.all = progress.add_task("all files", total=total, completed=sum(self.here.values()))

    @contextmanager
    def row(self, file: RemoteFile) -> Iterator[Callable[[int, str], None]]:
        """Show a row while a file is under way; yield what tells it how far it is."""
        task = self.progress.add_task(file.name, total=file.bytes, completed=self.here[file.name])

        def tell(here: int, note: str) -> None:
            with self.lock:
                self.here[file.name] = here
                self.progress.update(self.all, completed=sum(self.here.values()))
            self.progress.update(task, completed=here, description=f"{file.name} {note}".strip())

        try:
            yield tell
        finally:
            self.progress.remove_task(task)

    def done(self, file: RemoteFile, fetched: bool) -> None:
        """Leave a line that stays, also where no terminal shows the rows."""
        size = f"{self.here[file.name] / 1e6:,.1f} MB"
        checked = "MD5 right" if file.md5 else "no MD5 known"
        what = "fetched" if fetched else "here already"
        self.progress.console.print(f"{file.name}: {size} {what}, {checked}", highlight=False)
