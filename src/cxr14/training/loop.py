"""The training loop: batches come as uint8, and are augmented and normalised on the device."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cxr14.models.inputs import normalise, prepare
from cxr14.models.store import state_copy
from cxr14.ranking import macro_auroc
from cxr14.training.augment import Augment, augment
from cxr14.training.device import Compute
from cxr14.training.losses import Loss
from cxr14.training.optimizer import learning_rate_factor, make_optimizer
from cxr14.training.parts import Part, epoch_order, steps_per_epoch

Row = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """How to train; the keys are those of `train` in params.yaml."""

    input_size: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup_fraction: float
    augment: Augment
    seed: int


@dataclass(frozen=True)
class Trained:
    """What training leaves: the history and the weights of the best epoch (1-based)."""

    history: list[Row]
    best_epoch: int
    best_score: float
    state: dict[str, Tensor]


def train(
    network: nn.Module,
    train_part: Part,
    val_part: Part,
    loss: Loss,
    recipe: Recipe,
    compute: Compute,
    on_epoch: Callable[[Row], None],
    on_step: Callable[[], None] = lambda: None,
) -> Trained:
    """Train, and keep the epoch with the best macro AUROC on validation.

    Args:
        network: images float (B, 3, s, s) to logits (B, C); changed in place.
        train_part: images at the training size.
        val_part: images at the training size or larger.
        loss: of logits and labels (B, C).
        recipe: how to train.
        compute: device, precision and memory format.
        on_epoch: gets epoch, loss, learning_rate and validation_macro_auroc.
        on_step: called after each step, for a progress bar.

    Raises:
        ValueError: loss or scores are no longer finite, or no finding can be scored on validation.
    """
    network.to(compute.device).to(memory_format=compute.memory_format)
    optimizer = make_optimizer(network, recipe.optimizer, recipe.learning_rate, recipe.weight_decay)
    steps = recipe.epochs * steps_per_epoch(len(train_part.labels), recipe.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: learning_rate_factor(step, steps, recipe.schedule, recipe.warmup_fraction),
    )
    generator = torch.Generator().manual_seed(recipe.seed)

    def step(value: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimizer.step()
        scheduler.step()
        on_step()

    best: Trained | None = None
    history: list[Row] = []
    for epoch in range(1, recipe.epochs + 1):
        rate = float(scheduler.get_last_lr()[0])
        mean_loss = _train_epoch(network, train_part, loss, recipe, compute, generator, step)
        if not np.isfinite(mean_loss):
            raise ValueError(f"the loss is {mean_loss} in epoch {epoch}; lower train.learning_rate")
        score = validate(network, val_part, recipe, compute)
        if not np.isfinite(score):
            reason = "the validation scores are not finite"
            raise ValueError(f"{reason} in epoch {epoch}; lower train.learning_rate")
        history.append(
            {
                "epoch": epoch,
                "loss": mean_loss,
                "learning_rate": rate,
                "validation_macro_auroc": score,
            }
        )
        if best is None or score > best.best_score:
            best = Trained(history, epoch, score, state_copy(network))
        on_epoch(history[-1])
    assert best is not None  # there is at least one epoch
    return best


def _train_epoch(
    network: nn.Module,
    part: Part,
    loss: Loss,
    recipe: Recipe,
    compute: Compute,
    generator: torch.Generator,
    step: Callable[[Tensor], None],
) -> float:
    """Run one epoch; return its mean loss, read from the device once at the end."""
    network.train()
    losses = []
    order = epoch_order(len(part.labels), recipe.batch_size, generator)
    with closing(part.batches(order, recipe.batch_size)) as batches:
        for images, labels in batches:
            grey = images[:, None].float().div_(255)
            inputs = normalise(augment(grey, recipe.augment, generator))
            with compute.autocast():
                logits = network(inputs.contiguous(memory_format=compute.memory_format))
            value = loss(logits.float(), labels)
            step(value)
            losses.append(value.detach())
    return float(torch.stack(losses).mean())


@torch.inference_mode()
def validate(network: nn.Module, part: Part, recipe: Recipe, compute: Compute) -> float:
    """Return the macro AUROC of a part; NaN if any logit is not finite.

    Raises:
        ValueError: no finding has both positives and negatives there.
    """
    network.eval()
    scores = []
    in_turn = torch.arange(len(part.labels))
    for images, _ in part.batches(in_turn, 4 * recipe.batch_size):
        inputs = prepare(images, recipe.input_size)
        with compute.autocast():
            logits = network(inputs.contiguous(memory_format=compute.memory_format))
        scores.append(logits.float().cpu())
    held = torch.cat(scores).numpy()
    if not np.isfinite(held).all():
        return float("nan")  # a ranking of them would look like a score
    score, _ = macro_auroc(part.labels.cpu().numpy(), held, part.classes)
    if score is None:
        raise ValueError("no finding has both positives and negatives in the validation part")
    return score
