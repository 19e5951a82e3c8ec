"""One file, fetched to the end: resumed, retried, checked, and only then given its name.

While it is incomplete it is called NAME.part, and bytes are only ever added to its end, so
whatever ends the process (SIGKILL included), the next run goes on from there. Size and MD5 are
checked before the rename; the file then holds what the catalogue says, whatever happened.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util.retry import Retry

from cxr14.data.download.answers import Answer, FetchError, PassingError, ask
from cxr14.data.download.remote import RemoteFile
from cxr14.errors import FULL, full_disk

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
