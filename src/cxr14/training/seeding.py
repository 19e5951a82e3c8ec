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
        draws: float32 (N, DRAWS), 0..1, on the device, for the augmentation of each image.
    """

    order: Tensor
    draws: Tensor


def epoch_randomness(seed: int, epoch: int, count: int, device: str) -> EpochRandomness:
    """Draw the order and the augmentation of epoch `epoch` (0-based) for `count` images."""
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    order = torch.randperm(count, generator=generator)
    return EpochRandomness(order, torch.rand(count, DRAWS, generator=generator).to(device))


def step_seeds(seed: int, epoch: int, rank: int, steps: int) -> list[int]:
    """Return a seed for each step of an epoch, different for each rank.

    The first K of more steps are those of K steps. All are drawn at once: one by one they would
    double the overhead of the loop.
    """
    source = np.random.SeedSequence(seed, spawn_key=(epoch, rank))
    seeds: list[int] = (source.generate_state(steps, np.uint64) >> np.uint64(1)).tolist()
    return seeds


def seed_network(seed: int, device: str) -> None:
    """Seed the generators of the CPU and the device, for dropout.

    torch.manual_seed takes half a millisecond longer, as it records a traceback for every kind of
    accelerator that is not initialized.
    """
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)


def derived_seed(*numbers: int) -> int:
    """Hash integers into one seed; similar inputs give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
