"""CPU time of the training loop itself per step, measured with a minimal network.

    python benchmarks/loop_cost.py

If a GPU waits for kernel launches, a step takes as long as its CPU work, and the share of the loop
is this time over that of the step. The two steps are those of benchmarks/train.py, with one layer
on 8 pixels: many short blocks in turn, on one thread. The fastest block counts, as load on the
machine only adds time.
"""

import torch
import typer
from _loop import make_recipe, our_epoch
from torch import nn
from train import bare, make_part, seconds

from cxr14.models.inference import Compute

SIZE, BATCH, STEPS = 8, 16, 200


class Least(nn.Module):
    """Linear network with the two parameter groups of the optimizer, features and head."""

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
    plain, ours = (1e6 * min(block) / STEPS for block in zip(*taken, strict=True))
    typer.echo(f"bare step {plain:.0f} µs, our loop {ours:.0f} µs: {ours - plain:.0f} µs are ours")


if __name__ == "__main__":
    typer.run(main)
