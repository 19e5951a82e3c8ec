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


def augment(grey: Tensor, draws: Tensor, limits: Augment) -> Tensor:
    """Change images at random; what comes in from outside the picture is black.

    Args:
        grey: float (B, 1, s, s), 0..1.
        draws: float (B, DRAWS), uniform in 0..1, on the same device.
        limits: of the changes.

    Returns:
        float (B, 1, s, s), 0..1.
    """
    signed = 2 * draws.T - 1
    angle = signed[0] * math.radians(limits.rotation)
    zoom = 1 + signed[1] * limits.scale
    mirror = 1 - 2 * (draws[:, 2] < limits.flip).to(grey.dtype)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    # Where each output pixel is read, in coordinates of −1..1: a shift of the width is 2.
    matrix = torch.stack(
        [
            torch.stack([cos * mirror, -sin, 2 * limits.shift * signed[3]], dim=1),
            torch.stack([sin * mirror, cos, 2 * limits.shift * signed[4]], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(grey.shape), align_corners=False)
    moved = F.grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    factor = 1 + limits.brightness * signed[5]
    return (moved * factor.view(-1, 1, 1, 1)).clamp(0, 1)
