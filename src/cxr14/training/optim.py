"""Optimizer and learning-rate schedule."""

import math

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from cxr14.config.blocks import Recipe
from cxr14.models.network import Network

MOMENTUM = 0.9
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.1, 1
"""Of `plateau`: divide by ten after two epochs without a lower validation loss (CheXNet)."""


def make_optimizer(network: Network, recipe: Recipe) -> Optimizer:
    """Return the optimizer of the weights that are not frozen.

    Biases and normalisation (vectors) are not decayed.
    """
    groups = []
    for module, rate in ((network.features, recipe.backbone_rate), (network.head, 1.0)):
        for decay, vectors in ((recipe.weight_decay, False), (0.0, True)):
            trained = (p for p in module.parameters() if p.requires_grad)
            parameters = [p for p in trained if (p.ndim <= 1) == vectors]
            group = {"params": parameters, "lr": recipe.learning_rate * rate, "weight_decay": decay}
            groups += [group] if parameters else []
    match recipe.optimizer:
        case "adamw":
            return AdamW(groups, fused=True)
        case "adam":
            return Adam(groups, fused=True)
        case "sgd":
            return SGD(groups, momentum=MOMENTUM, fused=True)


def make_scheduler(
    optimizer: Optimizer, recipe: Recipe, steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """Return the schedule over `steps` optimizer steps.

    `plateau` steps by epoch, on the validation loss.
    """
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, recipe))


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Return the factor 0..1 on the learning rate at a step (0-based) of `steps`.

    It rises linearly over the first `warmup_fraction` of the steps. Then `constant` stays at 1, and
    `cosine` falls to 0 in `cycles` cycles of equal length (Loshchilov and Hutter 2017).
    """
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    done = recipe.cycles * (step - warmup) / max(1, steps - warmup)
    in_cycle = 1.0 if done >= recipe.cycles else done % 1
    return 0.5 * (1 + math.cos(math.pi * in_cycle))
