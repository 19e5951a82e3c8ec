"""Optimizer and learning-rate schedule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from cxr14.errors import UserError, quote
from cxr14.models.network import Network
from cxr14.training.augment import Augment

# How to train: the keys of `train` in params.yaml, as plain values.


@dataclass(frozen=True)
class Recipe:
    """The recipe of one backbone.

    Attributes:
        input_size: pixels per side.
        epochs: passes over the train part.
        batch_size: images per step, over all processes together.
        optimizer: adamw, adam or sgd.
        learning_rate: of the head; at its height.
        backbone_rate: the backbone's learning rate, as a multiple of the head's.
        weight_decay: of weights; biases and normalisation are not decayed.
        schedule: cosine, constant or plateau.
        cycles: of the cosine; more than one are warm restarts.
        warmup_fraction: share of the steps over which the learning rate rises.
        ema: decay per step of the averaged weights that are validated and kept; 0 for none.
        augment: random changes of the images.
        compile: compile the network (torch.compile).
        seed: of the order, the changes and dropout.
    """

    input_size: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    backbone_rate: float
    weight_decay: float
    schedule: str
    cycles: int
    warmup_fraction: float
    ema: float
    augment: Augment
    compile: bool
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Recipe":
        """Pick what belongs here out of the block `train` of one backbone."""
        recipe = {field.name: values[field.name] for field in fields(cls)}
        return cls(**recipe | {"augment": Augment(**values["augment"])})


MOMENTUM = 0.9
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.1, 1
"""`plateau`: a tenth, once the validation loss has not fallen for more than one epoch (CheXNet)."""


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer; biases and normalisation (vectors) are not decayed.

    Raises:
        UserError: an unknown name.
    """
    groups = []
    for module, rate in ((network.features, recipe.backbone_rate), (network.head, 1.0)):
        for decay, vectors in ((recipe.weight_decay, False), (0.0, True)):
            parameters = [p for p in module.parameters() if (p.ndim <= 1) == vectors]
            group = {"params": parameters, "lr": recipe.learning_rate * rate, "weight_decay": decay}
            groups += [group] if parameters else []
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, fused=True)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, fused=True)
    raise UserError(f"train.optimizer is {quote(recipe.optimizer)}; allowed: adamw, adam, sgd")


def make_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """Return the schedule over `steps` steps; `plateau` goes by epochs and validation losses."""
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, recipe))


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Return the factor 0..1 on the learning rate at a step (0-based) of `steps`.

    It rises linearly over the first `warmup_fraction` of the steps; then `constant` stays, and
    `cosine` falls to 0, `cycles` times, each as long as the others (Loshchilov and Hutter 2017).
    """
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    done = recipe.cycles * (step - warmup) / max(1, steps - warmup)
    in_cycle = 1.0 if done >= recipe.cycles else done % 1
    return 0.5 * (1 + math.cos(math.pi * in_cycle))
