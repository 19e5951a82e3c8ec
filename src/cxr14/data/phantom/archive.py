"""Draw many phantoms with all cores into one tar in NIH's layout."""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from cxr14.data.phantom.anatomy import Anatomy, Pose, load_anatomy
from cxr14.data.phantom.findings import Box
from cxr14.data.phantom.png import encode
from cxr14.data.phantom.render import render
from cxr14.data.workers import end_with_parent
from cxr14.files import replacing

CHUNK = 4  # images a worker takes at a time
_state: dict[str, Any] = {}


def draw_archive(
    records: pd.DataFrame,
    boxes: pd.DataFrame,
    path: Path,
    contrast: float,
    seed: int,
    workers: int = 0,
    anatomy: Anatomy | None = None,
) -> pd.DataFrame:
    """Draw every row of ``records`` and write one uncompressed tar, atomically.

    Args:
        records: rows of images.parquet (see :func:`cxr14.data.phantom.render.render`).
        boxes: image, finding, x, y, width, height in px of the 1024×1024 picture.
        path: the tar to write; members are ``images/<name>.png`` in the order of their names.
        contrast: how plain the findings are; 0 hides them.
        seed: of all phantoms.
        workers: processes; 0 means one per core. Never changes the bytes.
        anatomy: the projected groups; None projects them first, which takes seconds.

    Returns:
        image, member, bytes, sha256 of each PNG, sorted by image.
    """
    rows = records.sort_values("image").to_dict("records")
    by_image: dict[str, list[Box]] = {}
    columns = ["image", "finding", "x", "y", "width", "height"]
    for image, finding, x, y, width, height in boxes[columns].itertuples(index=False, name=None):
        by_image.setdefault(image, []).append((finding, x, y, width, height))
    jobs = [(row, by_image.get(str(row["image"]), []), contrast, seed) for row in rows]
    pictures = _drawn(jobs, workers or os.cpu_count() or 1, anatomy or load_anatomy())
    table = []
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for row, content in zip(rows, pictures, strict=True):
            member = f"images/{row['image']}"
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            table.append((row["image"], member, len(content), hashlib.sha256(content).hexdigest()))
    return pd.DataFrame(table, columns=["image", "member", "bytes", "sha256"])


def _drawn(jobs: list[Any], workers: int, anatomy: Anatomy) -> Iterator[bytes]:
    """Yield the PNGs in the order of the jobs, with a progress bar."""
    with _progress() as progress:
        bar = progress.add_task("phantoms", total=len(jobs))
        for content in _mapped(jobs, min(workers, len(jobs)), anatomy):
            progress.advance(bar)
            yield content


def _mapped(jobs: list[Any], workers: int, anatomy: Anatomy) -> Iterator[bytes]:
    """Draw here, or in processes that share one copy of the anatomy through a file."""
    if workers <= 1:
        _state["anatomy"] = anatomy
        yield from map(_draw, jobs)
        return
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder) / "layers.npy"
        np.save(layers, anatomy.layers)
        shared = (layers, anatomy.poses)
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_open, initargs=shared
        ) as pool:
            yield from pool.map(_draw, jobs, chunksize=CHUNK)


def _open(layers: Path, poses: tuple[Pose, ...]) -> None:
    end_with_parent()
    _state["anatomy"] = Anatomy(np.load(layers, mmap_mode="r"), poses)


def _draw(job: tuple[dict[str, Any], list[Box], float, int]) -> bytes:
    row, boxes, contrast, seed = job
    return encode(render(row, boxes, _state["anatomy"], contrast, seed))


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} images/s")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        transient=True,
    )
