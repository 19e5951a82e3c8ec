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

from cxr14.data.phantom.anatomy import Anatomy, load_anatomy
from cxr14.data.phantom.findings import Box
from cxr14.data.phantom.png import encode
from cxr14.data.phantom.render import render
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
) -> pd.DataFrame:
    """Draw every row of ``records`` and write one uncompressed tar, atomically.

    Args:
        records: rows of images.parquet (see :func:`cxr14.data.phantom.render.render`).
        boxes: image, finding, x, y, width, height in px of the 1024×1024 picture.
        path: the tar to write; members are ``images/<name>.png`` in the order of their names.
        contrast: how plain the findings are; 0 hides them.
        seed: of all phantoms.
        workers: processes; 0 means one per core. Never changes the bytes.

    Returns:
        image, member, bytes, sha256 of each PNG, sorted by image.
    """
    rows = records.sort_values("image").to_dict("records")
    by_image: dict[str, list[Box]] = {}
    columns = ["image", "finding", "x", "y", "width", "height"]
    for image, *box in boxes[columns].itertuples(index=False, name=None):
        by_image.setdefault(image, []).append((str(box[0]), *map(float, box[1:5])))  # type: ignore[arg-type]
    jobs = [(row, by_image.get(str(row["image"]), []), contrast, seed) for row in rows]
    table = []
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for row, content in zip(rows, _drawn(jobs, workers or os.cpu_count() or 1), strict=True):
            member = f"images/{row['image']}"
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            table.append((row["image"], member, len(content), hashlib.sha256(content).hexdigest()))
    return pd.DataFrame(table, columns=["image", "member", "bytes", "sha256"])


def _drawn(jobs: list[Any], workers: int) -> Iterator[bytes]:
    """Yield the PNGs in the order of the jobs; processes share one copy of the anatomy."""
    with tempfile.TemporaryDirectory() as folder, _progress() as progress:
        bar = progress.add_task("phantoms", total=len(jobs))
        layers = Path(folder) / "layers.npy"
        np.save(layers, load_anatomy().layers)
        workers = min(workers, len(jobs) or 1)
        with ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_open, initargs=(layers,)
        ) as pool:
            for content in pool.map(_draw, jobs, chunksize=CHUNK):
                progress.advance(bar)
                yield content


def _open(layers: Path) -> None:
    _state["anatomy"] = Anatomy(np.load(layers, mmap_mode="r"))


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
