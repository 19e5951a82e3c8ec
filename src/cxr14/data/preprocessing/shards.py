"""Pieces of the work of filling the cache: each is done once, by anyone, and leaves a marker.

A shard's rows are written into the array and flushed; then its marker, a small JSON with the
places of its images, appears under its final name. So a marker that is there means rows that are
there, wherever and however often the work was interrupted.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kornia_rs
import numpy as np
import pandas as pd
import PIL

from cxr14.data import orientation
from cxr14.data.archives.reading import can_enter_anywhere, place, read_members
from cxr14.data.cache import ARRAY
from cxr14.data.preprocessing import decode, jpeg, photometry, png, remarks, shrink
from cxr14.data.preprocessing.faults import ImageError, naming_disk
from cxr14.data.raw import RENEW
from cxr14.errors import UserError, explain
from cxr14.files import read_json, write_json

SHARD = 128
"""Images of a folder or a plain archive that make a shard; a compressed archive cannot be entered
in the middle, so it is one shard."""


@dataclass(frozen=True)
class Shard:
    """Some images of one container, and the rows of the array that they fill."""

    number: int
    base: Path
    container: str
    rows: list[int]
    members: list[str]
    hashes: list[str]

    def __str__(self) -> str:
        """Name it for an error."""
        place = self.base / self.container
        return f"{place}: {len(self.rows)} images from {self.members[0]} to {self.members[-1]}"

    def digest(self) -> str:
        """Hash what its rows are made of; the base may move."""
        parts = (self.container, self.rows, self.members, self.hashes)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Room:
    """Where unfinished work lies: the array, and a marker per finished shard.

    Attributes:
        folder: absolute, the same for all workers.
        size: pixels per side, S.
        code: :func:`code_version` of whoever hands out the work.
    """

    folder: Path
    size: int
    code: str

    def marker(self, shard: Shard) -> Path:
        """Name a shard's marker."""
        return self.folder / f"{shard.number:05d}.json"


@dataclass
class Outcome:
    """What became of a shard: bad rows with issue and reason, and what stopped it as a whole."""

    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    fault: str | None = None


def code_version() -> str:
    """Hash the code and the libraries that decide the cache's bytes."""
    modules = (decode, jpeg, orientation, photometry, png, remarks, shrink)
    sources = [Path(str(module.__file__)).read_bytes() for module in modules]
    sources += [Path(__file__).read_bytes()]
    libraries = f"Pillow {PIL.__version__}, kornia-rs {kornia_rs.__version__}"
    return hashlib.sha256(b"\0".join([*sources, libraries.encode()])).hexdigest()


def cut(manifest: pd.DataFrame, base: Path) -> list[Shard]:
    """Cut a manifest into shards. How many workers there are has no part in it."""
    shards: list[Shard] = []
    rows = manifest.assign(row=range(len(manifest)))
    for container, own in rows.groupby("container", sort=True):
        whole = container and not can_enter_anywhere(base / str(container))
        step = len(own) if whole else SHARD
        for start in range(0, len(own), step):
            part = own.iloc[start : start + step]
            columns = (part.row.tolist(), part.member.tolist(), part.sha256.tolist())
            shards.append(Shard(len(shards), base.resolve(), str(container), *columns))
    return shards


def is_finished(shard: Shard, room: Room) -> bool:
    """Tell whether the shard's rows are in the array, all of them good, and of these contents."""
    marker = room.marker(shard)
    if not marker.exists():
        return False
    left: dict[str, Any] = read_json(marker)
    return bool(left["digest"] == shard.digest() and not left["bad"])


def shrink_shard(shard: Shard, room: Room) -> Outcome:
    """Shrink the images of one shard into their rows of the array.

    An image that cannot be used does not stop the others: it is in the outcome and in the marker.

    Raises:
        UserError: this process runs other code than the one that handed out the work.
    """
    if room.code != code_version():
        raise UserError(
            f"{shard}: this worker runs another version of cxr14, Pillow or kornia-rs than the "
            f"stage; start the workers from the same checkout and environment"
        )
    if is_finished(shard, room):  # by a worker that was given up on, and lived
        return Outcome()
    room.marker(shard).unlink(missing_ok=True)  # its rows are about to change
    outcome, places = Outcome(), list[dict[str, object]]()
    left = dict(zip(shard.members, zip(shard.rows, shard.hashes, strict=True), strict=True))
    with (room.folder / ARRAY).open("rb+", buffering=0) as array:
        start = _first_pixel(room.folder / ARRAY)
        try:
            for member, content in read_members(shard.base, shard.container, shard.members):
                row, wanted = left.pop(member)
                try:
                    shrunk = _shrink_checked(shard, member, content, wanted, room.size)
                except ImageError as error:
                    outcome.bad[row] = error.issue, str(error)
                    continue
                with naming_disk(room.folder):
                    _write(array.fileno(), shrunk.pixels.tobytes(), start + row * room.size**2)
                places.append({"row": row, **_place(shrunk)})
        except (UserError, OSError) as error:
            _tell_gone(shard, left, error, outcome)
        with naming_disk(room.folder):
            os.fsync(array.fileno())
    if outcome.fault is None:
        columns = pd.DataFrame(places).to_dict("list")
        bad = {str(row): list(why) for row, why in outcome.bad.items()}
        with naming_disk(room.folder):
            write_json(
                room.marker(shard), {"digest": shard.digest(), "bad": bad, "places": columns}
            )
    return outcome


def _first_pixel(array: Path) -> int:
    """Return where in the file row 0 begins."""
    return int(np.load(array, mmap_mode="r").offset)


def _write(file: int, content: bytes, offset: int) -> None:
    """Write in place. Not through a mapping: pages of one would count as the worker's memory."""
    written = os.pwrite(file, content, offset)
    if written != len(content):  # the rest would raise ENOSPC
        os.pwrite(file, content[written:], offset + written)


def _shrink_checked(
    shard: Shard, member: str, content: bytes, wanted: str, size: int
) -> shrink.Shrunk:
    name = place(shard.container, member)
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ImageError(
            f"{name} is not the image that was listed (its hash differs); renew the manifest "
            f"with {RENEW}",
            "not as listed",
        )
    return shrink.shrink(content, size, name)


def _place(shrunk: shrink.Shrunk) -> dict[str, object]:
    place = vars(shrunk).copy()
    del place["pixels"]
    return place | {"remarks": list(shrunk.remarks)}


def _tell_gone(
    shard: Shard, left: dict[str, tuple[int, str]], error: Exception, outcome: Outcome
) -> None:
    """Name the images that are gone one by one, if the container itself is there."""
    if isinstance(error, FileNotFoundError) and (shard.base / shard.container).exists():
        for member, (row, _) in left.items():
            outcome.bad[row] = (
                "gone",
                f"{place(shard.container, member)} is gone or cannot be read; bring it back, or "
                f"renew the manifest with {RENEW}",
            )
    elif isinstance(error, UserError):
        outcome.fault = str(error)
    else:
        outcome.fault = f"{shard}: {explain(error)}"
