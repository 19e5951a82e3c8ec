"""Loss and macro AUROC of the validation split after an epoch."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cxr14.errors import UserError
from cxr14.metrics.auroc import macro_auroc
from cxr14.models.inference import Compute, prepare
from cxr14.training.dataset import SplitData
from cxr14.training.distributed import Processes
from cxr14.training.losses import Loss


@dataclass(frozen=True)
class Validation:
    """Validation scores of an epoch.

    Attributes:
        loss: of all images as one batch.
        macro_auroc: over the findings that can be scored.
    """

    loss: float
    macro_auroc: float


def validate(
    network: nn.Module,
    split: SplitData,
    loss: Loss,
    size: int,
    batch_size: int,
    compute: Compute,
    processes: Processes,
) -> Validation:
    """Compute loss and macro AUROC of a split; every process computes a share of the logits.

    Args:
        network: normalised images (B, 3, s, s) to logits (B, C).
        split: images at `size` or larger.
        loss: of logits and labels.
        size: pixels per side of the network's input.
        batch_size: images per forward pass.
        compute: device, precision and memory format.
        processes: of this run.

    Raises:
        UserError: the logits are not finite, or no finding has both positives and negatives.
    """
    logits = predict(network, split, size, batch_size, compute, processes)
    if not logits.isfinite().all():  # an AUROC of them would look like a score
        raise UserError("the validation scores are not finite; lower train.learning_rate")
    score, _ = macro_auroc(split.labels.cpu().numpy(), logits.cpu().numpy(), split.classes)
    if score is None:
        raise UserError("no finding has both positives and negatives in the val split")
    return Validation(float(loss(logits, split.labels)), score)


@torch.inference_mode()
def predict(
    network: nn.Module,
    split: SplitData,
    size: int,
    batch_size: int,
    compute: Compute,
    processes: Processes,
) -> Tensor:
    """Return the logits of a split, float32 (N, C) on the device, in every process."""
    network.eval()
    indices = torch.arange(processes.rank, len(split.labels), processes.world_size)
    # Each process fills its rows and leaves the others 0; the sum has all.
    logits = torch.zeros_like(split.labels)
    # Copied once, as each copy synchronizes with the device.
    batches = torch.split(indices.to(logits.device), batch_size)
    for (images, _), rows in zip(split.batches(indices, batch_size), batches, strict=True):
        inputs = prepare(images, size).contiguous(memory_format=compute.memory_format)
        with compute.autocast():
            scores = network(inputs)
        logits[rows] = scores.float()
    return processes.sum(logits)
