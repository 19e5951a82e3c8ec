"""Data loaders of other libraries, used as in their documentation; for batches.py.

Every function returns a function that starts one pass over the images. Workers stay alive between
passes and read ahead only within one.
"""

import importlib.util
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from cxr14.models.inference import MEAN, STD

Epoch = Callable[[], Iterator[Tensor]]
PACKAGES = {"webdataset": "webdataset", "skimage": "scikit-image"}
TO_BATCH = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def is_missing(module: str, console: Console) -> bool:
    """Whether a module is missing; prints the package to install."""
    missing = importlib.util.find_spec(module) is None
    if missing:
        package = PACKAGES[module]
        console.print(f"left out, {package} is missing: uv pip install {package}  (group bench)")
    return missing


def _loader(dataset: Dataset | IterableDataset, batch: int, workers: int) -> DataLoader:
    return DataLoader(dataset, batch, num_workers=workers, persistent_workers=True)


def _encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_folder(folder: Path, images: npt.NDArray[np.uint8], batch: int, workers: int) -> Epoch:
    """torchvision: a folder per class, a file per image."""
    for index, pixels in enumerate(images):
        path = folder / str(index % 2) / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encode(pixels))
    loader = _loader(ImageFolder(folder, TO_BATCH), batch, workers)
    return lambda: (images for images, _ in loader)


def webdataset_tar(folder: Path, images: npt.NDArray[np.uint8], batch: int, workers: int) -> Epoch:
    """WebDataset: a tar per worker."""
    import webdataset

    for shard, images_of_shard in enumerate(np.array_split(images, workers)):
        with tarfile.open(folder / f"shard-{shard}.tar", "w") as tar:
            for index, pixels in enumerate(images_of_shard):
                for suffix, content in (("png", _encode(pixels)), ("cls", b"1")):
                    member = tarfile.TarInfo(f"{shard}-{index:05d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    urls = [str(folder / f"shard-{shard}.tar") for shard in range(workers)]
    read = webdataset.WebDataset(urls, shardshuffle=False).decode("pilrgb").to_tuple("png", "cls")
    loader = _loader(read.map_tuple(TO_BATCH, int), batch, workers)
    return lambda: (images for images, _ in loader)


def torchxrayvision_pngs(
    folder: Path, pngs: list[Path], table: Path, size: int, batch: int, workers: int
) -> Epoch:
    """torchxrayvision: NIH_Dataset on the shipped PNGs, with its own crop and resize."""
    import torchxrayvision

    records = pd.read_csv(table).set_index("Image Index")
    listed = records.loc[[png.name for png in pngs]].reset_index()
    listed.to_csv(folder / "listed.csv", index=False)
    dataset = torchxrayvision.datasets.NIH_Dataset(
        str(pngs[0].parent),
        str(folder / "listed.csv"),
        views=["*"],
        unique_patients=False,
        transform=transforms.Compose(
            [
                torchxrayvision.datasets.XRayCenterCrop(),
                torchxrayvision.datasets.XRayResizer(size),
            ]
        ),
    )
    assert len(dataset) == len(pngs)
    loader = _loader(dataset, batch, workers)
    return lambda: (sample["img"] for sample in loader)
