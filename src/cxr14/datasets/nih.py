"""Files of ChestX-ray14 as published by NIH: names, locations, sizes, checksums; HTTP access.

Release: https://nihcc.app.box.com/v/ChestXray-NIHCC (NIH Clinical Center). Sources:

  - links of the archives: NIH's batch_download_zips.py in that folder (Box file 371647823217);
    checked against the copies in apache/incubator-teaclave and sunlabuiuc/PyHealth;
  - MD5 of the archives: NIH's FAQ_CHESTXRAY.pdf, Q07 (Box file 249502714403); the same in PyHealth;
  - bytes of the archives: the totals in Box's Content-Range responses, recorded by two public
    projects that agree in all twelve;
  - tables and lists have no static link; Box serves them by file number (219760887468,
    219760940956, 256056636701, 256055473534). Bytes and MD5 were computed here, from copies whose
    SHA-256 is that of Box's files in two or more public records: of the lists themselves, of the
    box list in torchxrayvision, and of its table with the header's "Patient Gender" restored to
    NIH's "Patient Sex" (the only difference, three bytes).

Box responds to HEAD with 404 and supports ranges in GET.
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


class RemoteFile(BaseModel):
    """File of a catalogue. An unknown size or MD5 (None) is not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^\w[\w.-]*$")  # a plain name: it becomes a path
    url: str = Field(pattern=r"^https?://")
    bytes: int | None = Field(gt=0, le=2**60)
    md5: str | None = Field(pattern=r"^[0-9a-f]{32}$")


def is_web(location: str) -> bool:
    """Tell whether a location is a web address."""
    return location.startswith(("http://", "https://"))


def locate(file: RemoteFile, mirror: str | None) -> str:
    """Return the address or path from which a file is downloaded.

    Args:
        file: the file.
        mirror: None, a web address or a folder (relative to the repository) that holds the file.

    Raises:
        FileNotFoundError: the mirror is a missing folder.
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

CATALOGUE: tuple[RemoteFile, ...] = (  # small files first, to fail early
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
"""Maximum size of a catalogue file in bytes; NIH's list would have 3 kB."""


def is_archive(name: str) -> bool:
    """Tell whether a file of a catalogue is an archive of images."""
    return name.startswith("images_") and name.endswith((".tar.gz", ".tar"))


def read_catalogue(path: Path) -> tuple[RemoteFile, ...]:
    """Read a catalogue in place of NIH's: a JSON list of name, url, bytes and md5.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: it is no such list, or a name is unknown or repeated.
    """
    if not path.is_file():
        raise FileNotFoundError(f"catalogue: {path} does not exist or is no regular file")
    if path.stat().st_size > CATALOGUE_BYTES:
        size = f"{path.stat().st_size} bytes; at most {CATALOGUE_BYTES} are read"
        raise UserError(f"{path}: no catalogue ({size})")
    try:
        # json detects UTF-8, UTF-16 and UTF-32 in bytes, with or without a BOM.
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
    """Build a JSON object and refuse repeated keys, of which json keeps the last."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"the key {quote(repeated[0])} is repeated in one object")
    return dict(pairs)


def _check_names(path: Path, files: tuple[RemoteFile, ...]) -> None:
    known = {name for name, *_ in TABLES}
    for name, count in Counter(file.name for file in files).items():
        if count > 1:
            raise UserError(f"{path}: {name} is listed {count} times")
        if name not in known and not is_archive(name):
            raise UserError(
                f"{path}: {name} is none of {', '.join(sorted(known))}, images_NNN.tar.gz"
            )
    if not any(is_archive(file.name) for file in files):
        raise UserError(f"{path}: lists no archive (images_NNN.tar.gz)")


# Reading a file from a server or folder, from a given byte.

CHUNK = 1 << 16
TRANSIENT = {408, 425, 429}  # HTTP status, and every 5xx


class FetchError(UserError):
    """Error of a file that cannot be downloaded."""


class TransientError(Exception):
    """Error that a retry may resolve.

    Attributes:
        retry_after: header Retry-After of the server (seconds or a date).
        restart: whether the download must restart from the first byte.
    """

    def __init__(
        self, reason: str, retry_after: str | None = None, *, restart: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.restart = restart


@dataclass(frozen=True)
class Response:
    """Bytes of a file from `start` on.

    Attributes:
        start: first byte: as requested, or 0 from a server without range requests.
        total: announced size of the file in bytes, or None.
        tag: strong validator (RFC 9110, 8.8) for If-Range, or None.
        chunks: iterator over the bytes.
    """

    start: int
    total: int | None
    tag: str | None
    chunks: Iterator[bytes]


def open_remote(
    location: str, start: int, tag: str | None, timeout: tuple[float, float]
) -> AbstractContextManager[Response]:
    """Request a file from byte `start` on.

    Args:
        location: web address, or path of a local file.
        start: first byte.
        tag: validator of the bytes already present; the server restarts if it has changed.
        timeout: seconds to connect, seconds between two chunks.

    Raises:
        FetchError: the file is missing or not readable.
        TransientError: the server is busy or slow, the connection broke, or the range is refused.
    """
    return (
        _open_url(location, start, tag, timeout)
        if is_web(location)
        else _open_path(Path(location), start)
    )


@contextmanager
def _open_path(path: Path, start: int) -> Iterator[Response]:
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise FetchError(f"{path} {what}")
    with path.open("rb") as file:
        total = path.stat().st_size
        file.seek(start if start <= total else 0)
        yield Response(file.tell(), total, None, _chunks(file))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


@contextmanager
def _open_url(
    url: str, start: int, tag: str | None, timeout: tuple[float, float]
) -> Iterator[Response]:
    headers = {"Accept-Encoding": "identity"}  # ranges count stored bytes
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": tag} if tag else {}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(url, response)
            begin, total = _extent(response, start)
            etag = response.headers.get("ETag", "")
            body = response.raw.stream(CHUNK, decode_content=False)
            chunks = iter(()) if response.status_code == 416 else body  # 416 has only a message
            yield Response(begin, total, etag if etag.startswith('"') else None, chunks)
    except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
        raise FetchError(f"{url}: {error}") from None
    except (requests.RequestException, HTTPError) as error:
        raise TransientError(_reason(error)) from None


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in TRANSIENT or status >= 500:
        raise TransientError(f"HTTP {status}", response.headers.get("Retry-After"))
    if status not in (200, 206, 416):
        raise FetchError(f"{url}: HTTP {status} {response.reason}")


def _extent(response: requests.Response, start: int) -> tuple[int, int | None]:
    """Return the first byte of a response, and the size of the file."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", content_range.strip())
    total = int(match[2]) if match and match[2] != "*" else None
    if response.status_code == 416 and total == start:
        return start, total  # the file is complete
    if match is None or match[1] is None or int(match[1]) != start:
        raise TransientError(
            f"byte {start} was requested, the response is {quote(content_range)}", restart=True
        )
    return start, total


def _reason(error: Exception) -> str:
    """Describe why a request failed."""
    inner = error.args[0] if error.args else error
    text = str(getattr(inner, "reason", inner))
    return f"{type(error).__name__}: {text}"
