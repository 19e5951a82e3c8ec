"""Fill the image cache: every image of the manifest, shrunk, in the manifest's order."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.console import progress
from cxr14.datasets.issues import issue_table
from cxr14.errors import UserError
from cxr14.io import locked, read_json, replacing, write_parquet
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.preprocessing.complete import naming_disk
from cxr14.preprocessing.decode import REMARKS
from cxr14.preprocessing.shards import (
    Engine,
    Shard,
    WorkDirectory,
    code_version,
    cut,
    is_finished,
    run_dask,
    run_local,
)

CHUNK = 256
"""Rows that are copied at a time."""


@contextmanager
def open_work_directory(
    scratch: Path, manifest: pd.DataFrame, size: int
) -> Iterator[WorkDirectory]:
    """Open the work directory of a run, which may hold finished shards of an earlier run.

    Its name is a hash of the list of images, the size, the code and the libraries. The hashes of
    the images are in the markers of the shards, so a repaired image only repeats its shard. A
    lock lets a second run with the same work directory wait.

    Raises:
        UserError: the disk has not enough space for the array.
    """
    code = code_version()
    sources = manifest[["image", "container", "member"]].to_numpy().tolist()
    key = hashlib.sha256(json.dumps([size, code, sources]).encode()).hexdigest()[:16]
    folder = scratch.resolve() / key
    scratch.mkdir(parents=True, exist_ok=True)
    lock = scratch / f"{key}.lock"
    with locked(lock, f"another run fills the same cache; waiting for it ({lock})"):
        if not (folder / ARRAY).exists():
            # Markers without an array are left by a run that ended after the move of the array.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _make_array(folder / ARRAY, (len(manifest), size, size))
        yield WorkDirectory(folder, size, code)


def _make_array(path: Path, shape: tuple[int, int, int]) -> None:
    """Write the header and allocate the array, so that a full disk is an error before the work."""
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"the cache needs {needed / 1e9:.1f} GB in {path.parent} and {free / 1e9:.1f} GB are "
            f"free; free some space or choose a smaller preprocess.size"
        )
    with naming_disk(path), replacing(path) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):  # not on every system
            with temporary.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)


def move_array(work_dir: WorkDirectory, kept: npt.NDArray[np.int64], target: Path) -> None:
    """Move the array to `target`, or copy it without the rows that are left out.

    Args:
        work_dir: work directory of the finished run.
        kept: int64 (M,), rows in order.
        target: path of the array, possibly on another file system.
    """
    array = np.load(work_dir.folder / ARRAY, mmap_mode="r")
    shape, start = array.shape, int(array.offset)
    del array
    with naming_disk(target), replacing(target) as temporary:
        if len(kept) == shape[0]:
            shutil.move(work_dir.folder / ARRAY, temporary)
            return
        smaller = (len(kept), *shape[1:])
        header = {"descr": "|u1", "fortran_order": False, "shape": smaller}
        length = work_dir.size**2
        with (work_dir.folder / ARRAY).open("rb") as source, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for row in kept:
                source.seek(start + int(row) * length)
                file.write(source.read(length))


INDEX_COLUMNS = [
    "row",
    "image",
    "source_width",
    "source_height",
    "scale",
    "offset_x",
    "offset_y",
    "sha256",
]
SPACING_COLUMNS = ["pixel_spacing_x", "pixel_spacing_y"]
"""Further columns if any image is a DICOM with its spacing; missing values elsewhere."""


@dataclass(frozen=True)
class FillResult:
    """Counts and issues of a filled cache.

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
) -> FillResult:
    """Shrink every image of a manifest into one array.

    Args:
        manifest: see cxr14.datasets.image_sources; its order is the order of the array.
        base: folder of the containers.
        folder: folder of images.npy and index.parquet.
        size: pixels per side, S.
        scratch: folder of the work directories; finished shards in it are reused.
        engine: executor of the shards. It does not change the bytes.
        on_error: whether an unusable image stops the run, after all others were processed, or
            is left out.
        unusable: messages on files that earlier stages left out; with `fail` they stop the run
            like unusable images.

    Raises:
        UserError: images or files cannot be used, an archive is damaged or missing, or a worker
            died.
    """
    with open_work_directory(scratch, manifest, size) as work_dir:
        shards = cut(manifest, base)
        _run(shards, work_dir, engine)
        index, bad = _collect(shards, work_dir, manifest)
        reasons = [*bad.reason, *unusable]
        if reasons and on_error == "fail":
            raise UserError(_unusable_error(reasons, base))
        if index.empty:
            raise UserError(
                f"none of {len(manifest)} images can be used: {_unusable_error(reasons, base)}"
            )
        issues = _issues(index, bad, manifest)
        _write(index, work_dir, folder)
        shutil.rmtree(work_dir.folder)
    counts = {"images": len(index), "skipped": len(bad), "size": size}
    remarks = index.remarks.explode().value_counts()
    counts |= {name: int(remarks.get(name, 0)) for name in REMARKS}
    modes = index["mode"].value_counts()
    return FillResult(
        counts | {f"mode_{mode}": int(count) for mode, count in modes.items()}, issues
    )


def _run(shards: list[Shard], work_dir: WorkDirectory, engine: Engine) -> None:
    """Process the unfinished shards; the workers write the array."""
    todo = [shard for shard in shards if not is_finished(shard, work_dir)]
    total, left = (sum(len(shard.rows) for shard in group) for group in (shards, todo))
    faults = []
    with progress("images", refresh_per_second=1) as bar:
        task = bar.add_task("shrink", total=total, completed=total - left)
        for shard, outcome in engine(todo, work_dir) if todo else ():
            if outcome.fault:
                faults.append(outcome.fault)
            bar.advance(task, len(shard.rows))
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))


def _collect(
    shards: list[Shard], work_dir: WorkDirectory, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the index rows of the cached images, and issue and reason of the unusable ones."""
    markers = [read_json(work_dir.marker(shard)) for shard in shards]
    tables = [pd.DataFrame(marker["index"]) for marker in markers if marker["index"]]
    faults = {int(row): fault for marker in markers for row, fault in marker["bad"].items()}
    rows = sorted(faults)
    bad = pd.DataFrame({"row": rows}, dtype="int64").assign(
        issue=[faults[row][0] for row in rows], reason=[faults[row][1] for row in rows]
    )
    if not tables:
        return pd.DataFrame(), bad
    index = pd.concat(tables, ignore_index=True).sort_values("row", ignore_index=True)
    images = manifest.iloc[index.row]
    return index.assign(image=images.image.to_numpy(), sha256=images.sha256.to_numpy()), bad


def _unusable_error(reasons: list[str], base: Path) -> str:
    return (
        f"{len(reasons)} images of {base} cannot be used; repair them, or leave them out with "
        f"preprocess.on_error: skip\n" + "\n".join(reasons)
    )


def _issues(index: pd.DataFrame, bad: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return an issue for every bad image and every remark, in the manifest's order."""
    rows: list[tuple[int, Any, str, str]] = [
        (int(row), issue, "skipped", reason)
        for row, issue, reason in zip(bad.row, bad.issue, bad.reason, strict=True)
    ]
    for row, names in zip(index.row, index.remarks, strict=True):
        rows += [(int(row), name.replace("_", " "), *REMARKS[name]) for name in names]
    containers, members = manifest.container.tolist(), manifest.member.tolist()
    return issue_table(
        "preprocess",
        [
            (containers[row], members[row], issue, action, detail)
            for row, issue, action, detail in sorted(rows, key=lambda issue: issue[0])
        ],
    )


def _write(index: pd.DataFrame, work_dir: WorkDirectory, folder: Path) -> None:
    """Write the files of the cache, the array last, so that an interrupted run can resume."""
    (folder / ARRAY).unlink(missing_ok=True)
    kept = index.row.to_numpy(np.int64)
    index = index.assign(row=np.arange(len(index)))
    spacing = index[SPACING_COLUMNS].dropna(axis=1, how="all").astype("float64")
    with naming_disk(folder):
        write_parquet(folder / INDEX, index[INDEX_COLUMNS].join(spacing))
    move_array(work_dir, kept, folder / ARRAY)
