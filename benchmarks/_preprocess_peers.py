"""Functions from a tar.gz of chest X-rays to 224 × 224 arrays, by this and other libraries.

Each processes a block (one archive) in its own process on one core.
"""

import io
import os
import resource
import shutil
import tarfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cxr14.preprocessing.shards import Shard, WorkDirectory, shrink_shard

SIZE = 224


@dataclass(frozen=True)
class Block:
    """One archive of images, as an archive and as a shard of ours."""

    archive: Path
    names: list[str]
    shard: Shard
    work_dir: WorkDirectory


def members(block: Block) -> Iterator[bytes]:
    """Yield the files of the archive."""
    with tarfile.open(block.archive) as archive:
        for entry in archive:
            yield archive.extractfile(entry).read()


def unpacked(block: Block) -> Path:
    """Unpack the archive, for methods that read files only; the time counts for them."""
    folder = block.archive.parent / f"unpacked-{os.getpid()}-{block.archive.name}"
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(block.archive) as archive:
        archive.extractall(folder, filter="data")
    return folder / "images"


def ours(block: Block) -> None:
    """Do what the stage's workers do: hash checked, shrunk, written to the array, flushed."""
    block.work_dir.marker(block.shard).unlink(missing_ok=True)  # else it was done in the last round
    outcome = shrink_shard(block.shard, block.work_dir)
    assert not outcome.bad
    assert not outcome.fault


def pillow(block: Block) -> None:
    """Decode and shrink with Pillow in a plain loop."""
    from PIL import Image

    for content in members(block):
        with Image.open(io.BytesIO(content)) as file:
            np.asarray(file.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def torchvision(block: Block) -> None:
    """Run a pipeline of torchvision: decode_image and an antialiased Resize."""
    import torch
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    resize = v2.Resize((SIZE, SIZE), antialias=True)
    for content in members(block):
        coded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        resize(decode_image(coded, ImageReadMode.GRAY)).numpy()


@cache
def _xrv_dataset(names: tuple[str, ...]) -> tuple[Any, list[int]]:
    """Return torchxrayvision's dataset of NIH's table, and the indices of the images in it."""
    import torchxrayvision as xrv

    resize = xrv.datasets.XRayResizer(SIZE)
    dataset = xrv.datasets.NIH_Dataset(
        os.curdir, views=["PA", "AP"], unique_patients=False, transform=resize
    )
    row_of = {name: row for row, name in enumerate(dataset.csv["Image Index"])}
    return dataset, [row_of[name] for name in names]


def torchxrayvision(block: Block) -> None:
    """Read NIH_Dataset with XRayResizer, on unpacked files."""
    folder = unpacked(block)
    dataset, rows = _xrv_dataset(tuple(block.names))
    dataset.imgpath = str(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            dataset[row]
    shutil.rmtree(folder.parent)


def monai(block: Block) -> None:
    """Run MONAI's LoadImage and Resize (its own default, area), on unpacked files."""
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize

    torch.set_num_threads(1)
    steps = [LoadImage(image_only=True), EnsureChannelFirst(), _grey, Resize((SIZE, SIZE))]
    chain = Compose(steps)
    folder = unpacked(block)
    for name in block.names:
        np.asarray(chain(str(folder / name)))
    shutil.rmtree(folder.parent)


def _grey(image: Any) -> Any:
    return image[:3].mean(0, keepdim=True)


Method = Callable[[Block], None]
METHODS: dict[str, tuple[Method, tuple[str, ...]]] = {  # with the packages that each needs
    "cxr14": (ours, ()),
    "Pillow loop": (pillow, ()),
    "torchvision": (torchvision, ()),
    "torchxrayvision": (torchxrayvision, ("skimage", "imageio", "tqdm")),
    "MONAI": (monai, ("monai",)),
}


def missing(name: str) -> list[str]:
    """Return the missing packages of a method."""
    return [package for package in METHODS[name][1] if find_spec(package) is None]


def work_off(name: str, block: Block) -> tuple[float, float]:
    """Process one block; return the CPU seconds, and the peak memory of this process in MB."""
    start = time.process_time()
    METHODS[name][0](block)
    seconds = time.process_time() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
