"""From cached grey images to what a backbone takes."""

import torch
import torch.nn.functional as F
from torch import Tensor

# torchvision's ImageNet statistics, RGB, of images scaled to 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize grey images to a square, bilinear with antialiasing.

    Args:
        images: uint8 or float (B, S, S), values 0..255.
        size: pixels per side of the result.

    Returns:
        float32 (B, 1, size, size), values 0..1.
    """
    grey = images[:, None].to(torch.float32, copy=True).div_(255)
    if grey.shape[-1] == size and grey.shape[-2] == size:
        return grey
    return F.interpolate(grey, (size, size), mode="bilinear", antialias=True, align_corners=False)


def normalise(grey: Tensor) -> Tensor:
    """Turn grey float (B, 1, s, s) in 0..1 into ImageNet-normalised float (B, 3, s, s)."""
    # `non_blocking`: copying them must not wait for what a GPU has still to do. In place: a second
    # array of this size costs a CPU more time than the arithmetic.
    mean, std = (
        torch.tensor(values, dtype=grey.dtype).view(1, 3, 1, 1).to(grey.device, non_blocking=True)
        for values in (MEAN, STD)
    )
    return (grey - mean).div_(std)


def prepare(images: Tensor, size: int) -> Tensor:
    """Resize and normalise: uint8 (B, S, S) to float32 (B, 3, size, size)."""
    return normalise(resize(images, size))
