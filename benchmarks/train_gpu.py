"""Training speed on a GPU: images per second, MFU, and a comparison with a plain loop.

    python benchmarks/train_gpu.py                          (needs torch and torchvision, no set-up)
    python benchmarks/train_gpu.py --device cpu --size 64 --batch-sizes 8 --seconds 1
                                                            (does it run? wants psutil, too)

Ours: `cxr14.training.engine.Loop`, images resident on the device as uint8. Plain: what public
reimplementations do, a DataLoader whose workers decode PNGs of the same size, flip and normalise
them, and fp32 (TF32 convolutions) without channels_last. Both take turns, batch size by batch size.
MFU: floating-point operations of a step (counted by torch, forward and backward) per second, of the
peak that --peak names (an H100 SXM: 989e12 in bf16, dense).
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from _loop import make_network, make_recipe, our_epoch

from cxr14.models.inference import MEAN, STD, resolve_compute
from cxr14.training.dataset import load_split

BACKBONES = ("alexnet", "googlenet", "vgg16", "resnet50", "densenet121")
EPOCH, EPOCHS = 78_000, 10
"""Images of the train split of the official split; epochs of the sum over all backbones."""

PLAIN = {"enabled": True, "deterministic": False, "allow_tf32": True}
"""torch's defaults; our loop uses deterministic kernels."""


def smooth_images(count: int, size: int) -> np.ndarray:
    """Return uint8 (count, size, size) that compress about as well as radiographs do."""
    rng = np.random.default_rng(1)
    coarse = torch.tensor(rng.random((count, 1, 8, 8), dtype=np.float32))
    fine = torch.tensor(rng.random((count, 1, size, size), dtype=np.float32))
    large = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return ((0.97 * large + 0.03 * fine).clamp(0, 1) * 255).to(torch.uint8)[:, 0].numpy()


class Pngs(Dataset):
    """PNGs on disk, as a public reimplementation reads them."""

    def __init__(self, folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
        self.paths, self.labels = [folder / f"{n}.png" for n in range(len(images))], labels
        for path, image in zip(self.paths, images, strict=True):
            if not path.exists():
                Image.fromarray(image).save(path)
        chain = (transforms.RandomHorizontalFlip(), transforms.ToTensor())
        self.change = transforms.Compose([*chain, transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.ndarray]:
        return self.change(Image.open(self.paths[index]).convert("RGB")), self.labels[index]


def forever(loader: DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from loader


def plain_steps(backbone: str, loader: DataLoader, device: str) -> Callable[[], None]:
    """Return a step of the plain loop."""
    network = make_network(backbone).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss, batches = nn.BCEWithLogitsLoss(), forever(loader)

    def step() -> None:
        images, labels = next(batches)
        value = loss(network(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()  # for a running mean of the loss

    return step


def images_per_second(work: Callable[[], None], images: int, seconds: float, device: str) -> float:
    """Repeat for some seconds after two warm-ups; `images` is what one repetition handles."""
    for _ in range(2):
        work()
    _wait(device)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        count += images
        _wait(device)
    return count / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def operations_per_image(backbone: str, size: int) -> float:
    """Count the floating-point operations of a training step, per image."""
    network = make_network(backbone)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, size, size)).sum().backward()
    return counter.get_total_flops() / 2


def read_arguments() -> argparse.Namespace:
    """Read the command line; argparse, because a bare machine has no typer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--peak", type=float, default=989e12)
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Print a Markdown table, and the time of the whole study."""
    given = read_arguments()
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    workers = min(16, len(os.sched_getaffinity(0)))
    print(f"{name}, torch {torch.__version__}, {given.size} px, {workers} loader workers\n")
    print("| backbone | batch | ours, images/s | MFU | plain, images/s | ours : plain | epoch, s |")
    print("|---|---|---|---|---|---|---|")
    most, total = max(given.batch_sizes), 0.0
    images = smooth_images(4 * most, given.size)
    labels = np.float32(np.random.default_rng(2).random((len(images), 15)) < 0.1)
    with tempfile.TemporaryDirectory() as folder:
        pngs = Pngs(Path(folder), images, labels)
        part = load_split(images, np.arange(len(images)), labels, given.size, given.device)
        for backbone in given.backbones:
            flops, best = operations_per_image(backbone, given.size), 0.0
            compute = resolve_compute(given.device, "auto", backbone)
            for batch in given.batch_sizes:
                recipe = make_recipe(given.size, batch, given.compile)
                ours = images_per_second(
                    our_epoch(make_network(backbone), part, recipe, compute),
                    len(images) // batch * batch,
                    given.seconds,
                    given.device,
                )
                loader = DataLoader(pngs, batch, shuffle=True, num_workers=workers, drop_last=True)
                with torch.backends.cudnn.flags(**PLAIN):
                    step = plain_steps(backbone, loader, given.device)
                    plain = images_per_second(step, batch, given.seconds, given.device)
                best = max(best, ours)
                print(
                    f"| {backbone} | {batch} | {ours:,.0f} | {ours * flops / given.peak:.1%} | "
                    f"{plain:,.0f} | {ours / plain:.1f} | {EPOCH / ours:.0f} |",
                    flush=True,
                )
            total += EPOCHS * EPOCH / best
    print(f"\n{EPOCHS} epochs of {EPOCH:,} images, all of these: {total / 60:.0f} minutes")


if __name__ == "__main__":
    main()
