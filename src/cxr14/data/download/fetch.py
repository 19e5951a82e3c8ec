"""Files of a catalogue, fetched several at once into a folder that outlives the run."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
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
from urllib3.util.retry import Retry

from cxr14.data.download.answers import FetchError
from cxr14.data.download.remote import RemoteFile, locate
from cxr14.data.download.transfer import RETRY, TIMEOUT, Terms, fetch_file, part_of, size_of
from cxr14.errors import mount_point

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
