"""Seeding: random numbers of training as functions of seed, epoch, and image or step.

A resumed training needs no generator state, and all ranks derive the same numbers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxr14.training.augment import DRAWS


@dataclass(frozen=True)
class EpochRandomness:
    """Random numbers of one epoch over N images.

    Attributes:
        order: int64 (N,) on the CPU, a permutation.
        draws: float32 (N, DRAWS), 0..1, on the device; the row of an image decides its changes.
    """

    order: Tensor
    draws: Tensor


def epoch_randomness(seed: int, epoch: int, count: int, device: str) -> EpochRandomness:
    """Draw the order and the changes of epoch `epoch` (0-based) for `count` images."""
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    order = torch.randperm(count, generator=generator)
    return EpochRandomness(order, torch.rand(count, DRAWS, generator=generator).to(device))


def step_seeds(seed: int, epoch: int, rank: int, steps: int) -> list[int]:
    """Return a seed for each step of an epoch, other ones for each process.

    The first K of more steps are those of K steps. All at once: one by one they cost as much as all
    else that the loop adds to a step.
    """
    source = np.random.SeedSequence(seed, spawn_key=(epoch, rank))
    seeds: list[int] = (source.generate_state(steps, np.uint64) >> np.uint64(1)).tolist()
    return seeds


def seed_network(seed: int, device: str) -> None:
    """Seed the generators that a network draws from, as dropout does: the CPU's and its device's.

    For every kind of accelerator that is not in use torch.manual_seed notes where it was called
    from, to seed it later: half a millisecond a step.
    """
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)


def derived_seed(*numbers: int) -> int:
    """Mix whole numbers into one seed; near ones give seeds that have nothing in common."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
