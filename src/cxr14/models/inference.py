"""Where and how exactly a trained network answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def answering(network: nn.Module) -> Iterator[str]:
    """Bring a network to the GPU if there is one; in the block it computes in full float32.

    There its convolutions give the same bits again, and products are not rounded to TF32, torch's
    default for convolutions.

    Args:
        network: moved in place, and left where it is.

    Yields:
        cuda or cpu, where its images have to be.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield device
