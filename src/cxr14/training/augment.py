"""Random changes of training images, on the device, one per image of the batch."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DRAWS = 6
"""Numbers that decide about an image: angle, zoom, mirror, two shifts, brightness."""


@dataclass(frozen=True)
class Augment:
    """How much an image may change; every amount is uniform up to its limit.

    Attributes:
        flip: probability of a mirror image (0 keeps the heart on its side).
        rotation: degrees to either side.
        scale: relative, larger or smaller.
        shift: share of the width and of the height.
        brightness: relative, brighter or darker.
    """

    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0


def transform_parameters(draws: Tensor, limits: Augment) -> Tensor:
    """Turn chance into changes.

    Args:
        draws: float (N, DRAWS), uniform in 0..1.
        limits: of the changes.

    Returns:
        float (N, 7), a row for an image: where each of its output pixels is read, as a 2 × 3 matrix
        in coordinates of −1..1 row by row, and the factor on its brightness.
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
    """Change images; what comes in from outside the picture is black.

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
