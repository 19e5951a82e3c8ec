"""The files of ChestX-ray14 as NIH publishes them: names, locations, sizes, checksums.

Release: https://nihcc.app.box.com/v/ChestXray-NIHCC (NIH Clinical Center). Sources:

  - links of the archives: NIH's batch_download_zips.py in that folder (Box file 371647823217);
    checked against the copies in apache/incubator-teaclave and sunlabuiuc/PyHealth;
  - MD5 of the archives: NIH's FAQ_CHESTXRAY.pdf, Q07 (Box file 249502714403); the same in PyHealth;
  - bytes of the archives: the totals in Box's Content-Range answers, recorded by two public
    projects that agree in all twelve;
  - tables and lists have no static link; Box gives them by file number (219760887468,
    219760940956, 256056636701, 256055473534). Bytes and MD5 were computed here, from copies whose
    SHA-256 is that of Box's files in two or more public records: of the lists themselves, of the
    box list in torchxrayvision, and of its table with the header's "Patient Gender" put back to
    NIH's "Patient Sex" (the only difference, three bytes).

Box answers HEAD with 404 and honours ranges in GET.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import requests
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from urllib3.exceptions import HTTPError

from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.errors import UserError, quote
from cxr14.io import project_root

# A file that lies elsewhere, and where it lies when a mirror stands in for its host.


class RemoteFile(BaseModel):
    """One file of a catalogue. What is not known (None) is not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^\w[\w.-]*$")  # a plain name: it becomes a path
    url: str = Field(pattern=r"^https?://")
    bytes: int | None = Field(gt=0, le=2**60)
    md5: str | None = Field(pattern=r"^[0-9a-f]{32}$")


def is_web(place: str) -> bool:
    """Tell a web address from a path."""
    return place.startswith(("http://", "https://"))


def locate(file: RemoteFile, mirror: str | None) -> str:
    """Return the address, or the path, that a file is fetched from.

    Args:
        file: the file.
        mirror: None, a web address or a folder (relative to the repository) that holds the file.

    Raises:
        FileNotFoundError: the mirror is a folder that is not there.
    """
    if mirror is None:
        return file.url
    if is_web(mirror):
        return f"{mirror.rstrip('/')}/{file.name}"
    folder = project_root() / mirror
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.mirror: {mirror} is neither an http(s) address nor a folder ({folder})"
        )
    return str(Path(folder) / file.name)


STATIC = "https://nihcc.box.com/shared/static/"
BY_NUMBER = (
    "https://nihcc.app.box.com/index.php?rm=box_download_shared_file"
    "&vanity_name=ChestXray-NIHCC&file_id=f_"
)

TABLES = (  # name, Box file, bytes, MD5
    (IMAGE_TABLE, "219760887468", 9_003_496, "63a8ca1a1b1f7a0e77d3db6522191103"),
    (BOX_TABLE, "219760940956", 92_416, "c288912caf65ab8b6c7aff6717d11005"),
    (LISTS[0], "256056636701", 1_470_907, "067e3a84206964892e6300e4a4c0a205"),
    (LISTS[1], "256055473534", 435_131, "adeeabf20ea2a8eb66ced87b78434400"),
)
ARCHIVES = (  # Box link, bytes, MD5; images_001.tar.gz to images_012.tar.gz
    ("vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "fe8ed0a6961412fddcbb3603c11b3698"),
    ("i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    ("f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "2301d03bde4c246388bad3876965d574"),
    ("0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    ("v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "1861f3cd0ef7734df8104f2b0309023b"),
    ("asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "456b53a8b351afd92a35bc41444c58c8"),
    ("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "1075121ea20a137b87f290d6a4a5965e"),
    ("tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "b61f34cec3aa69f295fbb593cbd9d443"),
    ("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "442a3caa61ae9b64e61c561294d1e183"),
    ("l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "09ec81c4c31e32858ad8cf965c494b74"),
    ("hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "499aefc67207a5a97692424cf5dbeed5"),
    ("ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "dc9fda1757c2de0032b63347a7d2895c"),
)

CATALOGUE: tuple[RemoteFile, ...] = (  # small files first: what fails, fails early
    *(
        RemoteFile(name=name, url=BY_NUMBER + number, bytes=size, md5=md5)
        for name, number, size, md5 in TABLES
    ),
    *(
        RemoteFile(name=f"images_{n:03d}.tar.gz", url=f"{STATIC}{link}.gz", bytes=size, md5=md5)
        for n, (link, size, md5) in enumerate(ARCHIVES, 1)
    ),
)


CATALOGUE_BYTES = 2**20
"""The largest stand-in that is read; NIH's own list would have 3 kB."""


def is_archive(name: str) -> bool:
    """Tell archives of images from tables and lists, by name."""
    return name.startswith("images_") and name.endswith((".tar.gz", ".tar"))


def read_catalogue(path: Path) -> tuple[RemoteFile, ...]:
    """Read a stand-in for the catalogue: a JSON list of name, url, bytes and md5.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is no such list, a name is none of NIH's, or stands there twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"catalogue: {path} does not exist or is no regular file")
    if path.stat().st_size > CATALOGUE_BYTES:
        size = f"{path.stat().st_size} bytes; at most {CATALOGUE_BYTES} are read"
        raise UserError(f"{path}: no catalogue ({size})")
    try:
        # Bytes, since json then finds UTF-8, UTF-16 and UTF-32 out, with or without a BOM.
        listed = json.loads(path.read_bytes(), object_pairs_hook=_unique)
        files = TypeAdapter(tuple[RemoteFile, ...]).validate_python(listed)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(
            f"{path}: {where} = {quote(first['input'])}: {first['msg'].lower()}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error})") from None
    _check_names(path, files)
    return files


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON; of a key that stands twice, json would take the last."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the key {quote(twice[0])} stands twice in one object")
    return dict(pairs)


def _check_names(path: Path, files: tuple[RemoteFile, ...]) -> None:
    known = {name for name, *_ in TABLES}
    for name, count in Counter(file.name for file in files).items():
        if count > 1:
            raise UserError(f"{path}: {name} stands there {count} times")
        if name not in known and not is_archive(name):
            raise UserError(
                f"{path}: {name} is none of {', '.join(sorted(known))}, images_NNN.tar.gz"
            )
    if not any(is_archive(file.name) for file in files):
        raise UserError(f"{path}: lists no archive (images_NNN.tar.gz)")


# What a server, or a folder, gives when asked for a file from some byte on.


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
        raise PassingError(f"asked from byte {start}, it answers {quote(given)}", restart=True)
    return start, total


def _reason(error: Exception) -> str:
    """Say in a few words why a request failed."""
    inner = error.args[0] if error.args else error
    text = str(getattr(inner, "reason", inner))
    return f"{type(error).__name__}: {text}"
