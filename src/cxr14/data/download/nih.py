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
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cxr14.data.download.remote import RemoteFile
from cxr14.data.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.errors import UserError, quote

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
