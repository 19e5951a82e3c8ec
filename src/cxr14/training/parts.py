"""A part of the data as training takes it: images and labels, batch by batch on the device."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr14.data.batches import Resident, Streamed, load
from cxr14.findings import CLASSES
from cxr14.models.inputs import resize


@dataclass
class Part:
    """Images uint8 (N, s, s), on the device or streamed to it, and labels float32 (N, C)."""

    images: Resident | Streamed
    labels: Tensor
    classes: Sequence[str] = CLASSES

    def batches(
        self, order: Tensor, batch_size: int
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield images uint8 (B, s, s) and labels float32 (B, C) in an order, on the device.

        Args:
            order: int64 (K,) on the CPU.
            batch_size: images per batch; the last one may be smaller.
        """
        labels = torch.split(self.labels[order.to(self.labels.device)], batch_size)
        with closing(self.images.batches(order, batch_size)) as images:
            yield from zip(images, labels, strict=True)


def load_part(
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.float32],
    size: int,
    device: str,
    classes: Sequence[str] = CLASSES,
) -> Part:
    """Open a part at the training size; where its images wait is cxr14.data.batches' choice.

    Args:
        images: uint8 (N, S, S), may be mapped from a file.
        rows: int64 (M,), the part's.
        labels: float32 (M, C).
        size: pixels per side, at most S.
        device: cpu or cuda.
        classes: C names of the columns of `labels`.
    """
    loaded = load(images, rows, size, device, partial(shrink, size=size))
    return Part(loaded, torch.tensor(labels, device=device), classes)


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize uint8 (B, S, S) to uint8 (B, size, size), rounded."""
    if images.shape[-1] == size:
        return images
    return resize(images, size).mul_(255).round_().to(torch.uint8)[:, 0]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in `count` images; those beyond the last one rest for an epoch."""
    return count // batch_size
