"""Fill the image cache: every image of the manifest, shrunk, in the manifest's order."""

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cxr14.data.archives import read_members
from cxr14.data.cache import ARRAY, INDEX
from cxr14.data.shrink import shrink
from cxr14.files import replacing, write_parquet

SHARD = 64
"""Images that a worker takes at a time; an archive that is compressed is one shard."""


@dataclass(frozen=True)
class Shard:
    """Some images of one container, and the rows of the cache that they fill."""

    base: Path
    container: str
    rows: list[int]
    members: list[str]
    hashes: list[str]


def fill_cache(
    manifest: pd.DataFrame, base: Path, folder: Path, size: int, workers: int
) -> dict[str, int]:
    """Shrink every image of a manifest into one array.

    Args:
        manifest: see cxr14.data.archives; its order is the order of the array.
        base: folder of the containers.
        folder: where images.npy and index.parquet go.
        size: pixels per side, S.
        workers: processes; 0 means one per core. Never changes the bytes.

    Returns:
        Counts: images, those padded to a square, and those of each pixel format.

    Raises:
        FileNotFoundError: images of the manifest are gone.
        ValueError: an image is not the one that was hashed, or is no image.
    """
    shards = _cut(manifest, base)
    with replacing(folder / ARRAY) as temporary:
        shape = (len(manifest), size, size)
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).flush()
        places = _run(shards, temporary, size, workers or os.cpu_count() or 1, len(manifest))
    index = pd.DataFrame(places).sort_values("row", ignore_index=True)
    index.insert(1, "image", manifest.image.to_numpy())
    index["sha256"] = manifest.sha256.to_numpy()
    modes = index.pop("mode").value_counts()
    write_parquet(folder / INDEX, index)
    padded = int((index.source_width != index.source_height).sum())
    formats = {f"mode_{mode}": int(count) for mode, count in modes.items()}
    return {"images": len(index), "padded": padded, "size": size, **formats}


def _cut(manifest: pd.DataFrame, base: Path) -> list[Shard]:
    shards = []
    rows = manifest.assign(row=range(len(manifest)))
    for container, own in rows.groupby("container", sort=True):
        step = len(own) if str(container).endswith(".gz") else SHARD
        for start in range(0, len(own), step):
            part = own.iloc[start : start + step]
            columns = (part.row.tolist(), part.member.tolist(), part.sha256.tolist())
            shards.append(Shard(base, str(container), *columns))
    return shards


def _run(
    shards: list[Shard], array: Path, size: int, workers: int, total: int
) -> list[dict[str, object]]:
    """Run the shards in processes; the array is written by the workers themselves."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        Progress(*columns, *times) as progress,
    ):
        task = progress.add_task("shrink", total=total)
        jobs = [pool.submit(shrink_shard, shard, array, size) for shard in shards]
        places: list[dict[str, object]] = []
        for job in as_completed(jobs):
            try:
                places += job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            progress.update(task, completed=len(places))
    return places


def shrink_shard(shard: Shard, array: Path, size: int) -> list[dict[str, object]]:
    """Shrink the images of one shard into their rows of the array; return their places."""
    cache = np.lib.format.open_memmap(array, mode="r+")
    row_of = dict(zip(shard.members, shard.rows, strict=True))
    hash_of = dict(zip(shard.members, shard.hashes, strict=True))
    places: list[dict[str, object]] = []
    for member, content in read_members(shard.base, shard.container, shard.members):
        name = f"{shard.base / shard.container}/{member}"
        if hashlib.sha256(content).hexdigest() != hash_of[member]:
            raise ValueError(
                f"{name} is not the image that was listed (its hash differs); renew the manifest "
                f"with `dvc repro --force download`"
            )
        shrunk = vars(shrink(content, size, name)).copy()
        cache[row_of[member]] = shrunk.pop("pixels")
        places.append({"row": row_of[member], **shrunk})
    cache.flush()
    return places
