"""Training speed by memory format, the source of CHANNELS_LAST_ON_CPU.

    python benchmarks/memory_format.py

One training step (forward, backward, AdamW) per backbone at 96 px, batch 16, both layouts in turn;
the median of the repetitions, in images per second.
"""

import statistics
import time

import torch
from _loop import LOSS

from cxr14.models.backbones import STUDIED
from cxr14.models.network import build_network
from cxr14.training.losses import make_loss

SIZE, BATCH, REPEATS = 96, 16, 5
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def seconds_per_step(backbone: str, layout: torch.memory_format) -> float:
    """Return the median time of a training step."""
    network = build_network(backbone, 256, "avg", 10.0, seed=1).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(network.parameters())
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator).contiguous(memory_format=layout)
    labels = (torch.rand(BATCH, 15, generator=generator) < 0.1).float()
    loss = make_loss(LOSS, labels)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        loss(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print one row per backbone."""
    print(f"{'backbone':14s}" + "".join(f"{name:>16s}" for name in LAYOUTS) + "   images/s")
    for backbone in STUDIED:
        speeds = [BATCH / seconds_per_step(backbone, layout) for layout in LAYOUTS.values()]
        print(f"{backbone:14s}" + "".join(f"{speed:16.1f}" for speed in speeds))


if __name__ == "__main__":
    main()
