"""Benchmark from the cache to normalised batches on the device, against other data loaders.

    CXR14_NIH=/folder/of/the/real/set python benchmarks/batches.py
    python benchmarks/batches.py --threads 1      (on a machine with other load)

All data loaders yield float32 batches of 64 images, 224 px, three normalised channels
(torchxrayvision: one channel). The limit is the unavoidable work: copying the same bytes and
converting them to float into new memory, as a batch may be kept; "same memory" overwrites one.

Blocks of all ways take turns; the figure is the median of the blocks, the ratio is the median of
the ratios within a turn. Files come from memory (the page cache), except in the way that says so.
Without the real set (a folder with images/*.png) phantoms are drawn. Aims: at most 1.5× the limit,
and two orders of magnitude above the ways that decode PNGs.
"""

import argparse
import os
import platform
import re
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from _batch_peers import image_folder, is_missing, torchxrayvision_pngs, webdataset_tar
from _lung_boxes import packaged_lung_boxes
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cxr14.datasets.image_table import read_images
from cxr14.io import packaged_file, write_npy
from cxr14.models.inference import prepare
from cxr14.phantoms.render import RenderSettings, render_archive
from cxr14.preprocessing.decode import shrink
from cxr14.training.dataset import Resident, Streamed

BATCH, SIZE, TURNS = 64, 224, 5
CACHED = 4096
"""Images in the cache: 206 MB, more than a processor's own cache holds; real ones, repeated."""
BATCHES = 16
"""Per block of the fast ways."""
PHANTOMS = 64
TABLE = "torchxrayvision/data/Data_Entry_2017_v2020.csv.gz"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Epoch = Callable[[], Iterator[Tensor]]


def find_pngs(folder: Path) -> tuple[list[Path], str]:
    """Return 1024-px PNGs, real ones or phantoms drawn into the folder, and which they are."""
    real = Path(os.environ.get("CXR14_NIH", "-")) / "images"
    if real.is_dir():
        return sorted(real.glob("*.png")), "real radiographs"
    records = read_images(packaged_file("torchxrayvision", TABLE)).head(PHANTOMS)
    settings = RenderSettings(packaged_lung_boxes(), size=1024, contrast=1.0, shortcut=0.0, seed=14)
    render_archive(records, folder / "phantoms.tar", settings)
    with tarfile.open(folder / "phantoms.tar") as tar:
        tar.extractall(folder, filter="data")
    return sorted((folder / "images").glob("*.png")), "phantom radiographs"


def write_cache(path: Path, pngs: list[Path]) -> npt.NDArray[np.uint8]:
    """Shrink the PNGs, repeat them CACHED times in all, and map the file as training does."""
    small = np.stack([shrink(png.read_bytes(), SIZE, png.name).pixels for png in pngs[:256]])
    write_npy(path, small[np.arange(CACHED) % len(small)])
    return np.load(path, mmap_mode="r")


def limit(images: npt.NDArray[np.uint8], reuse: bool) -> Epoch:
    """Copy the same bytes, in the order of the file, and convert them to float."""
    blocks = [torch.from_numpy(images[at : at + BATCH].copy()) for at in range(0, CACHED, BATCH)]
    blocks = [block.pin_memory() for block in blocks] if DEVICE == "cuda" else blocks
    buffer = torch.empty(BATCH, 3, SIZE, SIZE, device=DEVICE)

    def epoch() -> Iterator[Tensor]:
        for block in islice(cycle(blocks), BATCHES):
            grey = block.to(DEVICE, non_blocking=True, copy=True)[:, None]
            yield (buffer if reuse else torch.empty_like(buffer)).copy_(grey.expand(-1, 3, -1, -1))

    return epoch


def ours(images: Resident | Streamed, convert: bool = True) -> Epoch:
    """Yield batches as training does, in a new random order per epoch."""

    def epoch() -> Iterator[Tensor]:
        order = torch.randperm(len(images))[: BATCHES * BATCH]
        for batch in images.batches(order, BATCH):
            yield prepare(batch, SIZE) if convert else batch

    return epoch


def from_disk(path: Path) -> Epoch:
    """Stream from a file that has just left the system's memory (a disk may have its own)."""

    def epoch() -> Iterator[Tensor]:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        images = np.load(path, mmap_mode="r")
        yield from ours(Streamed(images, np.arange(CACHED), DEVICE))()

    return epoch


def speed(epoch: Epoch) -> tuple[float, int]:
    """Return images per second of one block, and how many they were."""
    start, count = time.perf_counter(), 0
    for batch in epoch():
        count += len(batch)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return count / (time.perf_counter() - start), count


def measure(ways: dict[str, Epoch]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Run the ways in turn; the first turn starts workers and is not counted."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    counts = {}
    for turn in range(TURNS + 1):
        for name, epoch in ways.items():
            rate, counts[name] = speed(epoch)
            if turn:
                speeds[name].append(rate)
    return speeds, counts


def report(speeds: dict[str, list[float]], counts: dict[str, int], title: str) -> Table:
    """Lay out the table; the first way is the limit."""
    table = Table(title=title)
    for name in ("way", "images/s", "lowest–highest", "limit ÷ it", "images a block"):
        table.add_column(name, justify="left" if name == "way" else "right")
    base = next(iter(speeds.values()))
    for name, rates in speeds.items():
        ratio = statistics.median(b / o for b, o in zip(base, rates, strict=True))
        spread = f"{min(rates):,.0f}–{max(rates):,.0f}"
        row = (f"{statistics.median(rates):,.0f}", spread, f"{ratio:,.2f}", str(counts[name]))
        table.add_row(name, *row)
    return table


def machine() -> str:
    """Return the processor, its cores, torch's threads, the device and the load."""
    info = Path("/proc/cpuinfo")
    match = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    model = match[1] if match else platform.processor()
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU"
    load = f"load {os.getloadavg()[0]:.1f} before"
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {device}, {load}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    console, workers = Console(width=110), min(os.cpu_count() or 1, 8)
    console.print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pngs, kind = find_pngs(folder)
        images = write_cache(folder / "images.npy", pngs)
        write_npy(folder / "disk.npy", images)
        streamed = Streamed(images, np.arange(CACHED), DEVICE)
        ways = {
            "limit: copy and convert, new memory": limit(images, reuse=False),
            "limit: the same memory": limit(images, reuse=True),
            "cxr14, resident": ours(Resident(streamed, SIZE)),
            "cxr14, streamed": ours(streamed),
            "cxr14, streamed, not in memory": from_disk(folder / "disk.npy"),
            "cxr14, streamed, uint8 (not converted)": ours(streamed, convert=False),
        }
        small = images[: BATCH * workers * 4]
        ways["ImageFolder, 224-px PNGs"] = image_folder(folder / "loose", small, BATCH, workers)
        if not is_missing("webdataset", console):
            ways["WebDataset, tar of 224-px PNGs"] = webdataset_tar(folder, small, BATCH, workers)
        if not is_missing("skimage", console):
            table = packaged_file("torchxrayvision", TABLE)
            listed = list(islice(cycle(pngs), BATCH * workers))
            loader = torchxrayvision_pngs(folder, listed, table, SIZE, BATCH, workers)
            ways["torchxrayvision, 1024-px PNGs"] = loader
        speeds, counts = measure(ways)
    title = f"batches of {BATCH}, {SIZE} px, {kind}; loaders with {workers} workers; n = {TURNS}"
    console.print(report(speeds, counts, title))


if __name__ == "__main__":
    main()
