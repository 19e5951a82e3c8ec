"""Random changes of training images on the device, drawn for each image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr14.config.blocks import AugmentParams

DRAWS = 6
"""Random numbers per image: angle, zoom, mirror, two shifts, brightness."""


def transform_parameters(draws: Tensor, limits: AugmentParams) -> Tensor:
    """Convert random numbers into the parameters of :func:`augment`.

    Args:
        draws: float (N, DRAWS), uniform in 0..1.
        limits: of the changes.

    Returns:
        float (N, 7): by image the 2 × 3 matrix from output to input coordinates (−1..1), row by
        row, and the factor on the brightness.
    """
    angle, zoom, _, across, down, brightness = (2 * draws - 1).unbind(1)
    zoom = 1 + zoom * limits.scale
    mirror = 1 - 2 * (draws[:, 2] < limits.flip).to(draws.dtype)
    angle = angle * math.radians(limits.rotation)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    shifts = 2 * limits.shift * across, 2 * limits.shift * down  # the width is 2
    matrix = cos * mirror, -sin, shifts[0], sin * mirror, cos, shifts[1]
    return torch.stack([*matrix, 1 + limits.brightness * brightness], dim=1)


def augment(grey: Tensor, changes: Tensor) -> Tensor:
    """Transform images; pixels from outside the image are black.

    Args:
        grey: float (B, 1, s, s), 0..1.
        changes: float (B, 7) of :func:`transform_parameters`, on the same device.

    Returns:
        float (B, 1, s, s), 0..1.
    """
    matrix, factor = changes[:, :6].view(-1, 2, 3), changes[:, 6]
    grid = F.affine_grid(matrix, list(grey.shape), align_corners=False)
    moved = F.grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (moved * factor.view(-1, 1, 1, 1)).clamp(0, 1)
