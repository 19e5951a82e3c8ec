"""What the training loop costs beside the bare step of the network.

    python benchmarks/train.py                                    (CPU: 64 px, batch 16)
    python benchmarks/train.py --size 224 --batch-size 64         (a GPU)

The bare step: one fixed batch on the device, changed and normalised there, forward, backward,
optimizer; nothing else. Ours: `Loop` as `stages/train.py` runs it, that is with a new order and new
changes, batches gathered from the images on the device, the schedule, and the looks at the losses.
Blocks of both take turns in one process; the ratio is the median of the blocks' ratios. Targets:
at least .97 on a CPU, .95 on a GPU.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import typer
from _loop import make_network, make_recipe, our_epoch
from rich.console import Console
from rich.table import Table

from cxr14.models.backbones import STUDIED
from cxr14.models.inputs import normalise
from cxr14.models.network import Network
from cxr14.training.augment import DRAWS, augment
from cxr14.training.device import Compute, choose
from cxr14.training.losses import make_loss
from cxr14.training.optimizer import make_optimizer
from cxr14.training.parts import Part, load_part
from cxr14.training.recipe import Recipe


def make_part(count: int, size: int, device: str) -> Part:
    """Return noise with random labels."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
    labels = np.float32(rng.random((count, 15)) < 0.1)
    return load_part(images, np.arange(count), labels, size, device)


def bare(network: Network, recipe: Recipe, compute: Compute, part: Part) -> Callable[[], None]:
    """Return the bare step."""
    network.train().to(compute.device).to(memory_format=compute.memory_format)
    optimizer = make_optimizer(network, recipe)
    loss = make_loss("cross_entropy", "batch", part.labels)
    images, labels = next(part.batches(torch.arange(recipe.batch_size), recipe.batch_size))
    draws = torch.rand(recipe.batch_size, DRAWS).to(compute.device)
    if recipe.compile:
        network.compile()

    def step() -> None:
        grey = images[:, None].float().div_(255)
        inputs = normalise(augment(grey, draws, recipe.augment))
        with compute.autocast():
            logits = network(inputs.contiguous(memory_format=compute.memory_format))
        value = loss(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()

    return step


def seconds(work: Callable[[], None], repeats: int, device: str) -> float:
    """Time some repetitions, until the device has done them."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(
    backbone: str, recipe: Recipe, compute: Compute, blocks: int, block_seconds: float
) -> tuple[list[float], list[float]]:
    """Return images per second of the bare step and of our loop, block by block."""
    first = make_part(recipe.batch_size, recipe.input_size, compute.device)
    step = bare(make_network(backbone), recipe, compute, first)
    seconds(step, 3, compute.device)
    once = seconds(step, 3, compute.device) / 3
    steps = max(4, round(block_seconds / once))
    part = make_part(steps * recipe.batch_size, recipe.input_size, compute.device)
    epoch = our_epoch(make_network(backbone), part, recipe, compute)
    seconds(epoch, 1, compute.device)
    images = steps * recipe.batch_size
    pairs = [
        (images / seconds(step, steps, compute.device), images / seconds(epoch, 1, compute.device))
        for _ in range(blocks)
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main(
    size: int = 64,
    batch_size: int = 16,
    blocks: int = 7,
    block_seconds: float = 3.0,
    compiled: bool = False,
    backbones: str = ",".join(STUDIED),
) -> None:
    """Measure and print."""
    table = Table(title=f"{size} px, batch {batch_size}, {blocks} blocks in turn, images/s")
    for heading in ("backbone", "computes in", "bare step", "our loop", "ratio (lowest–highest)"):
        table.add_column(heading, justify="left" if heading == "backbone" else "right")
    for backbone in backbones.split(","):
        compute = choose("auto", "auto", backbone)
        recipe = make_recipe(size, batch_size, compiled)
        plain, loop = compare(backbone, recipe, compute, blocks, block_seconds)
        ratios = [own / base for base, own in zip(plain, loop, strict=True)]
        layout = "channels_last" if compute.channels_last else "contiguous"
        table.add_row(
            backbone,
            f"{compute.precision}, {layout}",
            f"{statistics.median(plain):.1f}",
            f"{statistics.median(loop):.1f}",
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
