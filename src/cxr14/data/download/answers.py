"""What a server, or a folder, gives when asked for a file from some byte on."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError

from cxr14.data.download.remote import is_web
from cxr14.errors import UserError

CHUNK = 1 << 16
PASSING = {408, 425, 429}  # and every 5xx: the server may answer differently in a while


class FetchError(UserError):
    """A file cannot be had; the message says why and what to do."""


class PassingError(Exception):
    """Something that may be gone at the next attempt.

    Attributes:
        retry_after: when the server wants to be asked again (its header, seconds or a date).
        restart: whether the file must be fetched from its first byte.
    """

    def __init__(
        self, reason: str, retry_after: str | None = None, *, restart: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.restart = restart


@dataclass(frozen=True)
class Answer:
    """The bytes of a file from `start` on.

    Attributes:
        start: where the bytes begin: as asked, or 0 from a server that knows no ranges.
        total: bytes of the whole file, as announced; None if the server does not say.
        tag: strong validator (RFC 9110, 8.8) for If-Range, if the server gives one.
        chunks: the bytes.
    """

    start: int
    total: int | None
    tag: str | None
    chunks: Iterator[bytes]


def ask(
    place: str, start: int, tag: str | None, timeout: tuple[float, float]
) -> AbstractContextManager[Answer]:
    """Ask for a file from byte `start` on.

    Args:
        place: web address, or path of a local file.
        start: first byte wanted.
        tag: validator of the bytes already here; the server starts over if it has changed.
        timeout: seconds to connect, seconds between two pieces.

    Raises:
        FetchError: the file is not there, or may not be read.
        PassingError: the server is busy, slow, broken off, or cannot go on from there.
    """
    return _ask_server(place, start, tag, timeout) if is_web(place) else _open(Path(place), start)


@contextmanager
def _open(path: Path, start: int) -> Iterator[Answer]:
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise FetchError(f"{path} {what}")
    with path.open("rb") as file:
        total = path.stat().st_size
        file.seek(start if start <= total else 0)
        yield Answer(file.tell(), total, None, _pieces(file))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


@contextmanager
def _ask_server(
    url: str, start: int, tag: str | None, timeout: tuple[float, float]
) -> Iterator[Answer]:
    headers = {"Accept-Encoding": "identity"}  # bytes as they are stored: a range counts those
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": tag} if tag else {}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(url, response)
            begin, total = _extent(response, start)
            etag = response.headers.get("ETag", "")
            body = response.raw.stream(CHUNK, decode_content=False)
            chunks = iter(()) if response.status_code == 416 else body  # 416: only a message
            yield Answer(begin, total, etag if etag.startswith('"') else None, chunks)
    except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
        raise FetchError(f"{url}: {error}") from None
    except (requests.RequestException, HTTPError) as error:
        raise PassingError(_reason(error)) from None


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in PASSING or status >= 500:
        raise PassingError(f"HTTP {status}", response.headers.get("Retry-After"))
    if status not in (200, 206, 416):
        raise FetchError(f"{url} answers HTTP {status} {response.reason}")


def _extent(response: requests.Response, start: int) -> tuple[int, int | None]:
    """Return where an answer begins, and the size of the whole file."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", given.strip())
    total = int(found[2]) if found and found[2] != "*" else None
    if response.status_code == 416 and total == start:
        return start, total  # all of it is here
    if found is None or found[1] is None or int(found[1]) != start:
        raise PassingError(f"asked from byte {start}, it answers {given!r}", restart=True)
    return start, total


def _reason(error: Exception) -> str:
    """Say in a few words why a request failed."""
    inner = error.args[0] if error.args else error
    text = str(getattr(inner, "reason", inner))
    return f"{type(error).__name__}: {text}"
