"""What the training loop itself takes of the CPU, per step, beside a network of next to nothing.

    python benchmarks/loop_cost.py

On a GPU that waits for its launches a step takes as long as the CPU works on it, and the loop's
share is this figure over the step's. The same two steps as in benchmarks/train.py, with one layer
of 8 pixels; many short blocks in turn, on one thread, and of each the fastest, as whatever else
the machine does can only add to it.
"""

from unittest.mock import patch

import _loop
import torch
import train as side_by_side
import typer
from torch import nn

from cxr14.training.device import Compute

SIZE, BATCH, STEPS = 8, 16, 200


class Least(nn.Module):
    """Pixels to logits, with the parts that the optimizer tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 15)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.head(self.features(images))
        return logits


def main(blocks: int = 60) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    recipe = _loop.make_recipe(SIZE, BATCH, compiled=False)
    compute = Compute("cpu", "fp32", channels_last=False)
    few, many = (side_by_side.make_part(n * BATCH, SIZE, "cpu") for n in (1, STEPS))
    with (
        patch.object(side_by_side, "build_network", lambda *args, **choices: Least()),
        patch.object(_loop, "build_network", lambda *args, **choices: Least()),
    ):
        step = side_by_side.bare("least", recipe, compute, few)
        epoch = _loop.our_epoch("least", many, recipe, compute)
    work = ((step, STEPS), (epoch, 1))
    taken = [
        [side_by_side.seconds(call, repeats, "cpu") for call, repeats in work]
        for _ in range(blocks)
    ]
    bare, ours = (1e6 * min(own) / STEPS for own in zip(*taken, strict=True))
    typer.echo(f"bare step {bare:.0f} µs, our loop {ours:.0f} µs: {ours - bare:.0f} µs are ours")


if __name__ == "__main__":
    typer.run(main)
