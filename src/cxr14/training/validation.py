"""Scores on the validation part, while training goes on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cxr14.errors import UserError
from cxr14.models.inputs import prepare
from cxr14.ranking import macro_auroc
from cxr14.training.device import Compute
from cxr14.training.losses import Loss
from cxr14.training.parts import Part
from cxr14.training.processes import Processes


@dataclass(frozen=True)
class Validation:
    """What an epoch reached.

    Attributes:
        loss: of all images as one batch, with the weights that training has.
        macro_auroc: over the findings that can be scored.
    """

    loss: float
    macro_auroc: float


def validate(
    network: nn.Module,
    part: Part,
    loss: Loss,
    size: int,
    batch_size: int,
    compute: Compute,
    processes: Processes,
) -> Validation:
    """Score a part; every process takes every so-manieth image, and all know all logits after.

    Args:
        network: normalised images (B, 3, s, s) to logits (B, C).
        part: images at `size` or larger.
        loss: of logits and labels.
        size: pixels per side that the network takes.
        batch_size: images per forward pass.
        compute: device, precision and memory format.
        processes: those that train together.

    Raises:
        UserError: the logits are not finite, or no finding has both positives and negatives.
    """
    logits = predict(network, part, size, batch_size, compute, processes)
    if not logits.isfinite().all():  # a ranking of them would look like a score
        raise UserError("the validation scores are not finite; lower train.learning_rate")
    score, _ = macro_auroc(part.labels.cpu().numpy(), logits.cpu().numpy(), part.classes)
    if score is None:
        raise UserError("no finding has both positives and negatives in the validation part")
    return Validation(float(loss(logits, part.labels)), score)


@torch.inference_mode()
def predict(
    network: nn.Module,
    part: Part,
    size: int,
    batch_size: int,
    compute: Compute,
    processes: Processes,
) -> Tensor:
    """Return the logits of a part, float32 (N, C) on the device, in every process."""
    network.eval()
    own = torch.arange(processes.rank, len(part.labels), processes.count)
    # Each process fills its own rows, the others' are 0: the sum is all of them.
    logits = torch.zeros_like(part.labels)
    places = torch.split(own.to(logits.device), batch_size)  # once: each copy waits for the device
    for (images, _), rows in zip(part.batches(own, batch_size), places, strict=True):
        inputs = prepare(images, size).contiguous(memory_format=compute.memory_format)
        with compute.autocast():
            scores = network(inputs)
        logits[rows] = scores.float()
    return processes.sum(logits)
