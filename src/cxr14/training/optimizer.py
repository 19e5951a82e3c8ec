"""Optimizer and learning-rate schedule."""

import math

import torch
from torch import nn

MOMENTUM = 0.9


def make_optimizer(
    network: nn.Module, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return AdamW or SGD; biases and normalisation (vectors) are not decayed.

    Raises:
        ValueError: an unknown name.
    """
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM)
    raise ValueError(f"train.optimizer is {name!r}; allowed: adamw, sgd")


def learning_rate_factor(step: int, steps: int, schedule: str, warmup_fraction: float) -> float:
    """Return the factor 0..1 on the learning rate at a step (0-based) of `steps`.

    It rises linearly over the first `warmup_fraction` of the steps; then `cosine` falls to 0 and
    `constant` stays.
    """
    warmup = round(steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))
