"""Changes of images on the device: random in training, fixed for test-time augmentation."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr14.config.blocks import AugmentParams, check_tta
from cxr14.models.inference import normalise, resize

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


ANGLE, ZOOM, MIRROR, ACROSS, DOWN = range(5)
"""Columns of the random numbers."""

NO_VIEWS = torch.empty(0, 7)
"""The image alone."""


def views(limits: AugmentParams) -> Tensor:
    """Return the views of test-time augmentation apart from the image itself.

    The image is rotated, scaled, and shifted across and down by half of the limit to either side,
    one change at a time; and mirrored if `flip` is above 0. A limit of 0 gives no view, so there
    are at most nine. The brightness is unchanged.

    Returns:
        float (V, 7), as of :func:`transform_parameters`.
    """
    draws = []
    amounts = {ANGLE: limits.rotation, ZOOM: limits.scale, ACROSS: limits.shift, DOWN: limits.shift}
    values = [(column, draw) for column, limit in amounts.items() if limit for draw in (0.25, 0.75)]
    values += [(MIRROR, 0.0)] if limits.flip else []
    for column, draw in values:
        draws.append([0.5] * DRAWS)  # no change
        draws[-1][MIRROR] = 1.0  # not below any probability
        draws[-1][column] = draw
    return transform_parameters(torch.tensor(draws), limits) if draws else NO_VIEWS


def views_of(description: Mapping[str, Any]) -> Tensor:
    """Return the views (V, 7) within the limits that a network was trained with.

    Args:
        description: the content of model.json.

    Raises:
        UserError: the limits allow none.
    """
    limits = AugmentParams.model_validate(description["params"]["train"]["augment"])
    check_tta(description["backbone"], limits)
    return views(limits)


def view_inputs(images: Tensor, size: int, changes: Tensor) -> Iterator[Tensor]:
    """Yield the inputs of a network for a batch: the images themselves, then each view of them.

    Args:
        images: uint8 (B, S, S).
        size: pixels per side of the inputs, s.
        changes: of the views, float (V, 7), on the same device.

    Yields:
        float32 (B, 3, s, s), normalized, 1 + V times.
    """
    grey = resize(images, size)
    yield normalise(grey)
    for view in changes:
        yield normalise(augment(grey, view.expand(len(grey), -1)))
