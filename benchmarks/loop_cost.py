"""What the training loop itself takes of the CPU, per step, beside a network of next to nothing.

    python benchmarks/loop_cost.py

On a GPU that waits for its launches a step takes as long as the CPU works on it, and the loop's
share is this figure over the step's. The same two steps as in benchmarks/train.py, with one layer
of 8 pixels; many short blocks in turn, on one thread, and of each the fastest, as whatever else
the machine does can only add to it.
"""

import torch
import typer
from _loop import make_recipe, our_epoch
from torch import nn
from train import bare, make_part, seconds

from cxr14.models.inference import Compute

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
    recipe = make_recipe(SIZE, BATCH, compiled=False)
    compute = Compute("cpu", "fp32", channels_last=False)
    few, many = (make_part(n * BATCH, SIZE, "cpu") for n in (1, STEPS))
    step = bare(Least(), recipe, compute, few)
    epoch = our_epoch(Least(), many, recipe, compute)
    work = ((step, STEPS), (epoch, 1))
    taken = [[seconds(call, repeats, "cpu") for call, repeats in work] for _ in range(blocks)]
    plain, ours = (1e6 * min(own) / STEPS for own in zip(*taken, strict=True))
    typer.echo(f"bare step {plain:.0f} µs, our loop {ours:.0f} µs: {ours - plain:.0f} µs are ours")


if __name__ == "__main__":
    typer.run(main)
