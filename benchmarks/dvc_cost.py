"""Time of DVC operations on one array and on one small file per row.

    python benchmarks/dvc_cost.py --files 20000

The same bytes (224 × 224 a row) twice, each in its own DVC repository in a temporary folder,
with DVC's default settings: add, a status with nothing to do, and a checkout after the data was
deleted.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

SIZE = 224


def dvc(folder: Path, *words: str) -> float:
    """Run a DVC command; return the seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "dvc", *words, "--quiet"]
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - start


def write_array(data: Path, count: int) -> None:
    """Write one array of noise."""
    shape = (count, SIZE, SIZE)
    array = np.lib.format.open_memmap(data / "images.npy", "w+", np.uint8, shape)
    for row, picture in enumerate(_pictures(count)):
        array[row] = np.frombuffer(picture, np.uint8).reshape(SIZE, SIZE)


def write_files(data: Path, count: int) -> None:
    """Write the same as a file per row."""
    for row, picture in enumerate(_pictures(count)):
        (data / f"{row:08d}.raw").write_bytes(picture)


def _pictures(count: int) -> "map[bytes]":
    noise = np.random.default_rng(1)
    return map(lambda _: noise.bytes(SIZE * SIZE), range(count))


def seconds(folder: Path) -> list[float]:
    """Return the seconds of add, status and checkout."""
    add = dvc(folder, "add", "data")
    status = dvc(folder, "status")
    shutil.rmtree(folder / "data")
    return [add, status, dvc(folder, "checkout")]


def main(files: int = 20_000) -> None:
    """Print one row per form."""
    table = Table(title=f"{files:,} images of {SIZE} px, {files * SIZE**2 / 1e9:.2f} GB, seconds")
    for heading in ("form", "add", "status, nothing to do", "checkout"):
        table.add_column(heading, justify="left" if heading == "form" else "right")
    for form, write in (("one array", write_array), ("a file each", write_files)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
            dvc(folder, "init")
            (folder / "data").mkdir()
            write(folder / "data", files)
            table.add_row(form, *(f"{value:.1f}" for value in seconds(folder)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
