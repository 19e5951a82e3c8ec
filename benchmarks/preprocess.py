"""Benchmark of preprocessing against other libraries, on the same files in tar.gz archives.

    pip install -e '.[bench]'
    python benchmarks/preprocess.py --images 120 --rounds 5        (CXR14_NIH names real files)

Archives are packed from real files (or from phantoms without them). Every method has its own warm
processes of one thread; rounds interleave the methods, one process against all cores, so that load
on the machine affects all alike. Targets: at least 3 times torchxrayvision and 1.15 times the
Pillow loop on one core, 1.85 times one core on two, below 1 GB over the base and the same for four
times the images, the parent process idle.
"""

import itertools
import os
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import pandas as pd
import typer
from _preprocess_peers import METHODS, SIZE, Block, missing, work_off
from rich.console import Console
from rich.table import Table

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing.fill import fill_cache, open_work_directory
from cxr14.preprocessing.shards import WorkDirectory, cut, run_local

ALL = 112_120


def source_files(count: int) -> tuple[list[Path], str]:
    """Return evenly spaced real files, or phantoms without them, and their kind."""
    folder = Path(os.environ.get("CXR14_NIH", "none")) / "images"
    files, kind = sorted(folder.glob("*.png")), "real NIH files"
    if not files:
        archive, loose = Path("data/raw/archives/images_001.tar"), Path(tempfile.mkdtemp())
        if not archive.exists():
            raise SystemExit("error: no real files (CXR14_NIH) and no phantoms (`dvc repro`)")
        with tarfile.open(archive) as phantoms:
            phantoms.extractall(loose, filter="data")
        files, kind = sorted(loose.rglob("*.png")), "phantoms"
    return files[:: max(1, len(files) // count)][:count], kind


def pack(files: list[Path], folder: Path, parts: int, repeats: int = 1) -> None:
    """Pack the files into archives in NIH's layout; repeated ones get new names."""
    folder.mkdir()
    for part in range(parts):
        with tarfile.open(folder / f"images_{part:03d}.tar.gz", "w:gz", compresslevel=6) as archive:
            for path in files[part::parts]:
                for n in range(repeats):
                    name = path.name if n == 0 else f"{n}{path.name[1:]}"
                    archive.add(path, f"images/{name}")


def make_blocks(folder: Path, work_dir: WorkDirectory, manifest: pd.DataFrame) -> list[Block]:
    """Return one block per archive."""
    return [
        Block(
            folder / shard.container,
            [Path(member).name for member in shard.members],
            shard,
            work_dir,
        )
        for shard in cut(manifest, folder)
    ]


@dataclass
class Measured:
    """Results of one method: images per second on one and all cores, CPU ms per image, peak MB."""

    one: list[float] = field(default_factory=list)
    every: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak: float = 0.0


def measure(blocks: list[Block], rounds: int) -> dict[str, Measured]:
    """Measure every method that is installed, on one and on all cores."""
    names = [name for name in METHODS if not missing(name)]
    pools = {name: [ProcessPoolExecutor(1, get_context("spawn")) for _ in blocks] for name in names}
    measured = {name: Measured() for name in names}
    for number in range(rounds + 1):  # the first one warms up
        for name, result in measured.items():
            for cores, rates in ((1, result.one), (len(blocks), result.every)):
                start = time.perf_counter()
                jobs = [pools[name][n].submit(work_off, name, blocks[n]) for n in range(cores)]
                done = [job.result() for job in jobs]
                seconds = time.perf_counter() - start
                result.peak = max(result.peak, *(memory for _, memory in done))
                images = sum(len(block.names) for block in blocks[:cores])
                if number:
                    rates.append(images / seconds)
                if number and cores == 1:
                    result.cpu_ms.append(1000 * done[0][0] / images)
    for pool in itertools.chain(*pools.values()):
        pool.shutdown()
    return measured


def show(measured: dict[str, Measured], cores: int, title: str) -> None:
    """Print the table; ratios are medians of the rounds' ratios."""
    table = Table(title=title)
    for heading in (
        "method", "images/s, 1 core", "CPU ms", "cxr14 is faster by", "in CPU time",
        f"images/s, {cores} cores", f"{cores} : 1", "peak MB", f"{ALL:,} images",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "method" else "right")
    ours = measured["cxr14"]
    for name, result in measured.items():
        table.add_row(
            name,
            f"{median(result.one):.1f} ({min(result.one):.1f}–{max(result.one):.1f})",
            f"{median(result.cpu_ms):.1f}",
            f"{ratio(ours.one, result.one):.2f} ×",
            f"{ratio(result.cpu_ms, ours.cpu_ms):.2f} ×",
            f"{median(result.every):.1f}",
            f"{ratio(result.every, result.one):.2f} ×",
            f"{result.peak:.0f}",
            f"{ALL / median(result.every) / 60:.1f} min",
        )
    Console(width=140).print(table)


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return median(a / b for a, b in zip(above, below, strict=True))


def _whole_stage(files: list[Path], folder: Path, repeats: int) -> tuple[float, float, float, int]:
    """Fill a cache from archives; return seconds, the parent's CPU seconds, peak MB, images."""
    import resource

    cores = os.cpu_count() or 1
    pack(files, folder / "raw", cores, repeats)
    manifest = list_images(folder / "raw").manifest
    wall, used = time.perf_counter(), time.process_time()
    engine = partial(run_local, workers=cores)
    fill_cache(manifest, folder / "raw", folder / "cache", SIZE, folder / "scratch", engine)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    return wall, used, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, len(manifest)


def whole_stage(files: list[Path], repeats: int) -> tuple[float, float, float, int]:
    """Run :func:`_whole_stage` in a new process, whose only children are the workers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        return pool.submit(_whole_stage, files, Path(folder), repeats).result()


def main(images: int = 120, rounds: int = 5) -> None:
    """Measure and print."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    files, kind = source_files(images)
    for name in METHODS:
        if missing(name):
            print(
                f"{name} is left out: {', '.join(missing(name))} missing (pip install '.[bench]')"
            )
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "raw"
        pack(files, raw, os.cpu_count() or 1)
        manifest = list_images(raw).manifest
        with open_work_directory(Path(directory) / "scratch", manifest, SIZE) as work_dir:
            measured = measure(make_blocks(raw, work_dir, manifest), rounds)
    cores = os.cpu_count() or 1
    show(measured, cores, f"{len(files)} {kind}, from tar.gz, {rounds} interleaved rounds")
    for repeats in (1, 4):
        wall, used, memory, count = whole_stage(files, repeats)
        print(
            f"the whole stage, {count} images: {wall:.1f} s, start of the workers included; "
            f"parent's CPU {used:.2f} s ({100 * used / wall:.0f} %), largest worker {memory:.0f} MB"
        )


if __name__ == "__main__":
    typer.run(main)
