"""The scratch room of a run: found again after an interruption, and turned into the cache."""

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import rich
from filelock import FileLock, Timeout

from cxr14.data.cache import ARRAY
from cxr14.data.preprocessing.faults import naming_disk
from cxr14.data.preprocessing.shards import Room, code_version
from cxr14.errors import UserError
from cxr14.files import replacing

CHUNK = 256
"""Rows that are copied at a time."""


@contextmanager
def open_room(scratch: Path, manifest: pd.DataFrame, size: int) -> Iterator[Room]:
    """Yield the room of this work, with what an earlier run left in it.

    Its name is a hash of the list of images, the size, the code and the libraries, so nothing
    that is made otherwise ever mixes in; an image's content is not in it but in its shard's
    marker, so a mended image costs its own shard only. The lock keeps a second run of the same
    work waiting.

    Raises:
        UserError: the disk has no room for the array.
    """
    code = code_version()
    places = manifest[["image", "container", "member"]].to_numpy().tolist()
    key = hashlib.sha256(json.dumps([size, code, places]).encode()).hexdigest()[:16]
    folder = scratch.resolve() / key
    scratch.mkdir(parents=True, exist_ok=True)
    with _locked(scratch / f"{key}.lock"):
        if not (folder / ARRAY).exists():
            # Markers without their array are of a run that ended after the array was taken.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _make_array(folder / ARRAY, (len(manifest), size, size))
        yield Room(folder, size, code)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        rich.print(
            f"another run is making the same cache; waiting for it ({path})", file=sys.stderr
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_array(path: Path, shape: tuple[int, int, int]) -> None:
    """Write the header and reserve the rest, so that a full disk shows now and not in an hour."""
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"the cache needs {needed / 1e9:.1f} GB in {path.parent} and {free / 1e9:.1f} GB are "
            f"free; make room or choose a smaller preprocess.size"
        )
    with naming_disk(path), replacing(path) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):  # not on every system
            with temporary.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)


def take_array(room: Room, kept: npt.NDArray[np.int64], target: Path) -> None:
    """Move the array to its place, or copy it there without the rows that are left out.

    Args:
        room: the finished work.
        kept: int64 (M,), rows in their order.
        target: the file to write; another file system is met by copying.
    """
    array = np.load(room.folder / ARRAY, mmap_mode="r")
    shape, start = array.shape, int(array.offset)
    del array
    with naming_disk(target), replacing(target) as temporary:
        if len(kept) == shape[0]:
            shutil.move(room.folder / ARRAY, temporary)
            return
        smaller = (len(kept), *shape[1:])
        header = {"descr": "|u1", "fortran_order": False, "shape": smaller}
        length = room.size**2
        with (room.folder / ARRAY).open("rb") as source, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for row in kept:
                source.seek(start + int(row) * length)
                file.write(source.read(length))
