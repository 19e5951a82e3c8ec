"""Overhead of the training loop against the bare step of the network.

    python benchmarks/train.py                                    (CPU: 64 px, batch 16)
    python benchmarks/train.py --size 224 --batch-size 64         (a GPU)

The bare step: one fixed batch on the device, changed and normalised there, forward, backward,
optimizer; nothing else. Ours: `Loop` as `stages/train.py` runs it, that is with a new order and new
changes, batches gathered from the images on the device, the schedule, and the loss meter.

Blocks of a few steps of both take turns in one process, so that load on the machine slows both.
The ratio is the median of the blocks' ratios, with its 95 % bootstrap interval and the blocks'
range. Targets: at least .97 on a CPU, .95 on a GPU.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
import typer
from _loop import LOSS, make_network, make_recipe, our_epoch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cxr14.config.blocks import Recipe
from cxr14.models.backbones import STUDIED
from cxr14.models.inference import Compute, normalise, resolve_compute
from cxr14.models.network import Network
from cxr14.training.augment import DRAWS, augment, transform_parameters
from cxr14.training.dataset import SplitData, load_split
from cxr14.training.losses import make_loss
from cxr14.training.optim import make_optimizer

MOST_IMAGES = 16_384
"""Limit of images per epoch, for the time and memory to generate noise."""

WARM_UP = 2
"""Blocks that are not counted."""


def make_part(count: int, size: int, device: str) -> SplitData:
    """Return noise with random labels."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
    labels = np.float32(rng.random((count, 15)) < 0.1)
    return load_split(images, np.arange(count), labels, size, device)


def bare(network: Network, recipe: Recipe, compute: Compute, part: SplitData) -> Callable[[], None]:
    """Return the bare step."""
    network.train().to(compute.device).to(memory_format=compute.memory_format)
    optimizer = make_optimizer(network, recipe)
    loss = make_loss(LOSS, part.labels)
    images, labels = next(part.batches(torch.arange(recipe.batch_size), recipe.batch_size))
    changes = transform_parameters(torch.rand(recipe.batch_size, DRAWS), recipe.augment).to(
        compute.device
    )
    if recipe.compile:
        network.compile()

    def step() -> None:
        grey = images[:, None].float().div_(255)
        inputs = normalise(augment(grey, changes))
        with compute.autocast():
            logits = network(inputs.contiguous(memory_format=compute.memory_format))
        value = loss(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()

    return step


def now(device: str) -> float:
    """Return the time after the device has finished all work."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], None], repeats: int, device: str) -> float:
    """Return the seconds of some repetitions, including the work of the device."""
    start = now(device)
    for _ in range(repeats):
        work()
    return now(device) - start


class Turns:
    """Blocks of our steps and of bare ones in turn."""

    def __init__(self, step: Callable[[], None], steps: int, device: str) -> None:
        self.pairs: list[tuple[float, float]] = []
        """Seconds of bare steps and of as many of ours, block by block."""
        self._step, self._steps, self._device = step, steps, device
        self._begin()

    def _begin(self) -> None:
        self._done, self._start = 0, now(self._device)

    def after_ours(self) -> None:
        """Count a step of ours, and after some of them take as many bare ones."""
        self._done += 1
        if self._done == self._steps:
            ours = now(self._device) - self._start
            self.pairs.append((seconds(self._step, self._steps, self._device), ours))
            self._begin()


def compare(
    backbone: str, recipe: Recipe, compute: Compute, blocks: int, block_seconds: float
) -> NDArray[np.float64]:
    """Return images per second (blocks, 2), of the bare step and of our loop."""
    first = make_part(recipe.batch_size, recipe.input_size, compute.device)
    step = bare(make_network(backbone), recipe, compute, first)
    seconds(step, 3, compute.device)
    once = seconds(step, 3, compute.device) / 3
    steps = max(1, round(block_seconds / once))
    images = steps * recipe.batch_size
    count = min(MOST_IMAGES, (WARM_UP + blocks) * images)
    part = make_part(count, recipe.input_size, compute.device)
    turns = Turns(step, steps, compute.device)
    epoch = our_epoch(make_network(backbone), part, recipe, compute, turns.after_ours)
    while len(turns.pairs) < WARM_UP + blocks:
        epoch()
    return images / np.array(turns.pairs[WARM_UP:][:blocks])


def main(
    size: int = 64,
    batch_size: int = 16,
    blocks: int = 41,
    block_seconds: float = 0.5,
    compiled: bool = False,
    backbones: str = ",".join(STUDIED),
) -> None:
    """Measure and print."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    title = f"{where}, {size} px, batch {batch_size}, {blocks} blocks of {block_seconds} s in turn"
    table = Table(title=title)
    columns = ("backbone", "computes in", "bare step", "our loop", "ratio (95 %)", "blocks")
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "backbone" else "right")
    for backbone in backbones.split(","):
        compute = resolve_compute("auto", "auto", backbone)
        recipe = make_recipe(size, batch_size, compiled)
        speeds = compare(backbone, recipe, compute, blocks, block_seconds)
        ratios = speeds[:, 1] / speeds[:, 0]
        medians = np.median(np.random.default_rng(1).choice(ratios, (2000, blocks)), axis=1)
        low, high = np.percentile(medians, [2.5, 97.5])
        table.add_row(
            backbone,
            f"{compute.precision}, {'channels_last' if compute.channels_last else 'contiguous'}",
            *(f"{speed:.1f}" for speed in np.median(speeds, axis=0)),
            f"{np.median(ratios):.3f} ({low:.3f}–{high:.3f})",
            f"{ratios.min():.2f}–{ratios.max():.2f}",
        )
        Console().print(f"{backbone}: {np.median(ratios):.3f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
