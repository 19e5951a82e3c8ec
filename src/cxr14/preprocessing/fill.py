"""Fill the image cache: every image of the manifest, shrunk, in the manifest's order."""

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import rich
from filelock import FileLock, Timeout
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cxr14.datasets.issues import issue_table
from cxr14.errors import UserError
from cxr14.io import read_json, replacing, write_parquet
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.preprocessing.complete import naming_disk
from cxr14.preprocessing.decode import REMARKS
from cxr14.preprocessing.shards import (
    Engine,
    Room,
    Shard,
    code_version,
    cut,
    is_finished,
    run_dask,
    run_local,
)

# The scratch room of a run: found again after an interruption, and turned into the cache.


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


PLACE = ["row", "image", "source_width", "source_height", "scale", "offset_x", "offset_y", "sha256"]


@dataclass(frozen=True)
class Filled:
    """What filling the cache found.

    Attributes:
        counts: images, skipped, size, those with each remark, those of each pixel format.
        issues: every image that was left out or has a remark, columns ISSUE_COLUMNS.
    """

    counts: dict[str, int]
    issues: pd.DataFrame


def choose_engine(name: Literal["local", "dask"], workers: int, scheduler: str | None) -> Engine:
    """Return the engine that params.yaml names."""
    if name == "dask":
        return partial(run_dask, scheduler=str(scheduler))
    return partial(run_local, workers=workers)


def fill_cache(
    manifest: pd.DataFrame,
    base: Path,
    folder: Path,
    size: int,
    scratch: Path,
    engine: Engine = run_local,
    on_error: Literal["fail", "skip"] = "fail",
    unusable: Sequence[str] = (),
) -> Filled:
    """Shrink every image of a manifest into one array.

    Args:
        manifest: see cxr14.datasets.image_sources; its order is the order of the array.
        base: folder of the containers.
        folder: where images.npy and index.parquet go.
        size: pixels per side, S.
        scratch: where unfinished work lies; finished shards in it are not done again.
        engine: where the work is done. Never changes the bytes.
        on_error: what an image that cannot be used does: stop the run, after all others were
            tried, or be left out.
        unusable: sentences on files that earlier stages left out; with `fail` they stop the run
            like images that cannot be used.

    Raises:
        UserError: images or files cannot be used, all named; an archive is broken or
            gone; a worker died.
    """
    with open_room(scratch, manifest, size) as room:
        shards = cut(manifest, base)
        _run(shards, room, engine)
        places, bad = _collect(shards, room, manifest)
        reasons = [*bad.reason, *unusable]
        if reasons and on_error == "fail":
            raise UserError(_all_of(reasons, base))
        if places.empty:
            raise UserError(f"none of {len(manifest)} images can be used: {_all_of(reasons, base)}")
        issues = _issues(places, bad, manifest)
        _write(places, room, folder)
        shutil.rmtree(room.folder)
    counts = {"images": len(places), "skipped": len(bad), "size": size}
    said = places.remarks.explode().value_counts()
    counts |= {name: int(said.get(name, 0)) for name in REMARKS}
    modes = places["mode"].value_counts()
    return Filled(counts | {f"mode_{mode}": int(count) for mode, count in modes.items()}, issues)


def _run(shards: list[Shard], room: Room, engine: Engine) -> None:
    """Do the shards that are not finished; the workers write the array themselves."""
    todo = [shard for shard in shards if not is_finished(shard, room)]
    total, left = (sum(len(shard.rows) for shard in some) for some in (shards, todo))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    faults = []
    with Progress(*columns, *times, refresh_per_second=1) as progress:
        task = progress.add_task("shrink", total=total, completed=total - left)
        for shard, outcome in engine(todo, room) if todo else ():
            if outcome.fault:
                faults.append(outcome.fault)
            progress.advance(task, len(shard.rows))
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))


def _collect(
    shards: list[Shard], room: Room, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the good images with their places, and the bad ones with issue and reason, by row."""
    left = [read_json(room.marker(shard)) for shard in shards]
    tables = [pd.DataFrame(marker["places"]) for marker in left if marker["places"]]
    whys = {int(row): why for marker in left for row, why in marker["bad"].items()}
    rows = sorted(whys)
    bad = pd.DataFrame({"row": rows}, dtype="int64").assign(
        issue=[whys[row][0] for row in rows], reason=[whys[row][1] for row in rows]
    )
    if not tables:
        return pd.DataFrame(), bad
    places = pd.concat(tables, ignore_index=True).sort_values("row", ignore_index=True)
    own = manifest.iloc[places.row]
    return places.assign(image=own.image.to_numpy(), sha256=own.sha256.to_numpy()), bad


def _all_of(reasons: list[str], base: Path) -> str:
    return (
        f"{len(reasons)} images of {base} cannot be used; repair them, or leave them out with "
        f"preprocess.on_error: skip\n" + "\n".join(reasons)
    )


def _issues(places: pd.DataFrame, bad: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return an issue for every bad image and every remark, in the manifest's order."""
    found: list[tuple[int, Any, str, str]] = [
        (int(row), issue, "skipped", reason)
        for row, issue, reason in zip(bad.row, bad.issue, bad.reason, strict=True)
    ]
    for row, names in zip(places.row, places.remarks, strict=True):
        found += [(int(row), name.replace("_", " "), *REMARKS[name]) for name in names]
    containers, members = manifest.container.tolist(), manifest.member.tolist()
    return issue_table(
        "preprocess",
        [
            (containers[row], members[row], issue, action, detail)
            for row, issue, action, detail in sorted(found, key=lambda own: own[0])
        ],
    )


def _write(places: pd.DataFrame, room: Room, folder: Path) -> None:
    """Write the cache's files, the array last: until then an interrupted run can go on."""
    (folder / ARRAY).unlink(missing_ok=True)
    kept = places.row.to_numpy(np.int64)
    with naming_disk(folder):
        write_parquet(folder / INDEX, places.assign(row=np.arange(len(places)))[PLACE])
    take_array(room, kept, folder / ARRAY)
