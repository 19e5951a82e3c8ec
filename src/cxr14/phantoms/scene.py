"""A phantom without findings: the layers of a pose, weighted and warped into the frame."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.phantoms import warp
from cxr14.phantoms.anatomy import LUNG_DENSITY, PAD, PIXEL_MM, Anatomy
from cxr14.phantoms.textures import Floats
from cxr14.phantoms.warp import CELLS, Warp, upsample, warp_layers

SIZE: Final = warp.SIZE  # px per side of the frame


def seeded_rng(seed: int, *keys: object) -> np.random.Generator:
    """Return a random generator that depends on the seed and the keys only, not on call order."""
    return np.random.default_rng([seed, *(zlib.crc32(str(key).encode()) for key in keys)])


def finding_side(record: Mapping[str, object], finding: str, seed: int) -> str:
    """Return the side of a patient's one-sided finding: ``right`` or ``left``."""
    rng = seeded_rng(seed, "side", finding, record["patient"])
    return "right" if rng.random() < 0.55 else "left"


@dataclass
class Shape:
    """Position and size of a patient's organs. Some findings change them.

    Attributes:
        zoom: (x, y) px of the CT per px of the frame.
        shift: (x, y) shift of the frame's centre in px of the CT.
        rotation: in-plane, in degrees.
        distortion: (2, 6, 6) smooth random displacement in px of the CT.
        dome_elevation: of the (right, left) diaphragm in px; higher at poor inspiration.
        heart: (width, height) relative to the CT's heart.
        flank: thickness of the soft tissue beside the ribs relative to the CT's, -0.5 to 0.6.
        shoulder_slope: fall of the outer ends of the shoulders in px.
        scoliosis: (amplitude in px, phase) of the spine's lateral curve.
        mediastinal_shift: of the organs between the lungs in px, positive to the left of the image.
            A rotation about the long axis has the same effect.
    """

    zoom: list[float]
    shift: list[float]
    rotation: float
    distortion: npt.NDArray[np.float64]
    dome_elevation: list[float]
    heart: list[float]
    flank: float = 0.0
    shoulder_slope: float = 0.0
    scoliosis: tuple[float, float] = (0.0, 0.0)
    mediastinal_shift: float = 0.0


@dataclass(frozen=True)
class Breast:
    """Shadow of a breast: centre and radii in px of the CT, thickness in mm."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    thickness_mm: float


@dataclass(frozen=True)
class GastricBubble:
    """Air in the stomach: centre and radii in px of the CT, thickness of the air in mm.

    With a fluid level (upright patients) only the upper part is air.
    """

    x: float
    y: float
    radius_x: float
    radius_y: float
    air_mm: float
    fluid_level: bool


@dataclass
class Appearance:
    """Density of a patient's tissues, and exposure of the image.

    Attributes:
        soft_tissue, bone, vessels, lung_markings: factors of these layers.
        noise: standard deviation in grey levels.
        exposure: shift of the grey scale, relative to the width of the window.
        window: width of the window, relative to the spread of the densities.
        detail: strength of the unsharp masking.
        breasts: their shadows.
        bubble: air in the stomach, if visible.
    """

    soft_tissue: float
    bone: float
    vessels: float
    lung_markings: float
    noise: float
    exposure: float
    window: float
    detail: float
    breasts: tuple[Breast, ...] = ()
    bubble: GastricBubble | None = None


def patient_traits(record: Mapping[str, object], seed: int) -> tuple[Shape, Appearance]:
    """Sample the traits of a patient, with small changes by image and view."""
    patient = seeded_rng(seed, "patient", record["patient"])
    image = seeded_rng(seed, "image", record["image"])
    portable, female = record["view"] == "AP", record["sex"] == "F"
    shape = _sample_shape(patient, image, portable, female)
    appearance = _sample_appearance(patient, image, portable)
    age = float(str(record["age"]))
    appearance.bone *= (1.15 - 0.004 * min(age, 95.0)) * (0.93 if female else 1.02)
    if female:
        rng = seeded_rng(seed, "breasts", record["patient"])
        appearance.breasts = _sample_breasts(rng, shape.flank)
    appearance.bubble = _sample_bubble(seeded_rng(seed, "bubble", record["image"]), portable)
    return shape, appearance


def _sample_shape(
    patient: np.random.Generator, image: np.random.Generator, portable: bool, female: bool
) -> Shape:
    distortion = patient.normal(0, (4.2, 5.5), (6, 6, 2)) + image.normal(0, 1.2, (6, 6, 2))
    zoom = 0.92 * patient.normal(1, 0.04) * image.normal(1, 0.03)
    thorax_height = patient.normal(1, 0.05) * image.normal(1, 0.02)
    heart_width = patient.normal(1.0, 0.09) * image.normal(1, 0.02) * (1.06 if portable else 1.0)
    thorax_width = patient.normal(0.98 if female else 1.02, 0.035)
    flank = float(np.clip(patient.normal(0.08, 0.24), -0.45, 0.55))  # thin to obese
    inspiration = image.normal(16.0, 12.0) if portable else image.normal(-2.0, 7.0)
    # The arguments consume random numbers in their order. Another order changes all phantoms.
    return Shape(
        zoom=[zoom / thorax_width, zoom / thorax_height],
        shift=[float(px) for px in image.normal(0, (13, 11)) + patient.normal(0, (3, 5))],
        rotation=float(image.normal(0, 3.5 if portable else 2.0)),
        distortion=np.moveaxis(distortion, -1, 0),
        dome_elevation=[
            float(px) for px in patient.normal(0, 8, 2) + image.normal(0, 2, 2) + inspiration
        ],
        heart=[float(heart_width), float(patient.normal(1, 0.06))],
        flank=flank,
        shoulder_slope=float(
            patient.normal(4.0 if female else 0.0, 9.0) - (8.0 if portable else 0.0)
        ),
        scoliosis=(float(patient.normal(0, 4.0)), float(patient.uniform(0, 2 * np.pi))),
        mediastinal_shift=float(image.normal(0, 11.0 if portable else 6.0)),
    )


def _sample_appearance(
    patient: np.random.Generator, image: np.random.Generator, portable: bool
) -> Appearance:
    return Appearance(
        soft_tissue=float(patient.normal(1.0, 0.08)),
        bone=float(patient.normal(1.0, 0.12)),
        vessels=float(patient.normal(1.0, 0.12)),
        lung_markings=1.7 * float(np.exp(patient.normal(0, 0.3) + image.normal(0, 0.12))),
        noise=float(image.uniform(1.2, 2.6)) * (1.5 if portable else 1.0),
        exposure=float(image.normal(0, 0.11)),
        window=float(np.exp(image.normal(0, 0.2))) * (1.1 if portable else 1.0),
        detail=float(patient.uniform(0.3, 1.1)),
    )


def _sample_breasts(rng: np.random.Generator, flank: float) -> tuple[Breast, ...]:
    """Sample breasts, larger in heavy patients; one woman in 40 has had a mastectomy."""
    size = float(np.clip(rng.normal(1.0 + 0.3 * flank, 0.16), 0.65, 1.4))
    thickness, y = rng.uniform(14, 40) * size, rng.normal(250, 16)
    distance, height = rng.normal(101, 7), rng.uniform(0.8, 1.05)
    mastectomy = int(rng.integers(2)) if rng.random() < 0.025 else None
    breasts = []
    for index, sign in enumerate((-1, 1)):
        shift, side_size = rng.normal(0, 5), size * rng.normal(1, 0.04)
        if index != mastectomy:
            x = MIDLINE + sign * distance * (0.8 + 0.2 * side_size)
            radius_x, radius_y = 84 * side_size, 82 * side_size * height
            breasts.append(Breast(x, y + shift, radius_x, radius_y, thickness * side_size))
    return tuple(breasts)


def _sample_bubble(rng: np.random.Generator, portable: bool) -> GastricBubble | None:
    """Sample the air in the stomach, visible in 35 % (AP) or 55 % (PA) of the images."""
    if rng.random() > (0.35 if portable else 0.55):
        return None
    radius_x = rng.uniform(14, 28)
    radius_y = radius_x * rng.uniform(0.7, 1.05)
    x, y = rng.normal(328, 9), DOME_ROW + 14 + radius_y + rng.uniform(0, 8)
    return GastricBubble(x, y, radius_x, radius_y, rng.uniform(20, 50), not portable)


# Landmarks in px of the CT.

HEART_BOX: Final = (189.0, 132.0, 384.0, 301.0)  # x0, y0, x1, y1
FRAME_CENTRE: Final = (250.0, 186.0)  # of an average image: x, y
MIDLINE: Final = 247.0  # column of the sternum
THORAX: Final = (260.0, 196.0)  # centre and half width of the rib cage: x
DOME_ROW: Final = 277.0  # top of the diaphragm

# Coordinates of the frame's px.

ROW: Final[Floats] = np.arange(SIZE, dtype=np.float32)[:, None]
COLUMN: Final[Floats] = np.arange(SIZE, dtype=np.float32)[None, :]


@dataclass
class Scene:
    """The warped layers in the frame, each float32 (SIZE, SIZE), in millimetres.

    Attributes:
        base: water equivalent of everything but heart and lung markings.
        heart: excess of the heart over lung of the same volume.
        lung_markings: water equivalent of vessels and bronchi inside the lungs.
        right_lung, left_lung: lung along the ray.
        mm_per_px: size of the frame's px.
        organ_warp: the warp of heart, lungs and other soft organs.
    """

    base: Floats
    heart: Floats
    lung_markings: Floats
    right_lung: Floats
    left_lung: Floats
    mm_per_px: float
    organ_warp: Warp

    @cached_property
    def lungs(self) -> Floats:
        """Millimetres of lung along the ray, both sides."""
        return self.right_lung + self.left_lung

    def lung(self, side: str) -> Floats:
        """Millimetres of lung along the ray, ``right`` or ``left``."""
        return self.right_lung if side == "right" else self.left_lung

    def lung_bounds(self, side: str) -> tuple[int, int, int, int]:
        """Return the bounds of a lung's projection in px: top, bottom, medial, lateral."""
        mask = self.lung(side)[::4, ::4] > 12
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) * 4 for axis in (1, 0))
        if not len(rows):
            return SIZE // 4, 3 * SIZE // 4, SIZE // 2, SIZE // 4 if side == "right" else SIZE
        edges = (int(columns[0]), int(columns[-1]))
        medial, lateral = edges[::-1] if side == "right" else edges
        return int(rows[0]), int(rows[-1]), medial, lateral

    def wall_distance_px(self, side: str) -> Floats:
        """Return the distance of each px to the outline of a lung, in px; 0 outside."""
        mask = self.lung(side)[::4, ::4] > 12
        distance = ndimage.distance_transform_edt(mask).astype(np.float32) * 4
        return np.asarray(Image.fromarray(distance).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def build_scene(
    anatomy: Anatomy, shape: Shape, appearance: Appearance, view: str, rng: np.random.Generator
) -> Scene:
    """Weight and warp the layers of a pose into the frame.

    Bones have a warp without the elevation of the diaphragm: a raised dome overlaps a higher rib.

    Args:
        anatomy: the projected layers.
        shape: position and size of the organs.
        appearance: factors of the layers, breasts and gastric bubble.
        view: AP or PA; the pose is one of this view.
        rng: source of the choice of the pose.
    """
    poses = [index for index, pose in enumerate(anatomy.poses) if pose.view == view]
    layers = anatomy.pose(int(rng.choice(poses)))
    tissue = appearance.soft_tissue * layers["soft_tissue"] + appearance.vessels * layers["vessels"]
    _add_breasts(tissue, appearance.breasts)
    _add_bubble(tissue, appearance.bubble)
    skeleton_warp = _skeleton_warp(shape)
    organ_warp = _organ_warp(skeleton_warp, shape)
    smooth_layers = [tissue, layers["heart"], layers["right_lung"], layers["left_lung"]]
    tissue, heart, right, left = warp_layers(smooth_layers, organ_warp, SIZE // 2)
    # An enlarged heart displaces lung, not liver.
    available = heart + (1 - LUNG_DENSITY) * (right + left)
    (enlarged,) = warp_layers([layers["heart"]], _heart_warp(organ_warp, shape), SIZE // 2)
    heart = np.minimum(enlarged, available)
    (bone,) = warp_layers([layers["bone"]], skeleton_warp)
    return Scene(
        base=appearance.bone * bone + upsample(tissue),
        heart=upsample(heart),
        lung_markings=warp_layers([layers["lung_markings"]], organ_warp)[0],
        right_lung=upsample(right),
        left_lung=upsample(left),
        mm_per_px=shape.zoom[0] * PIXEL_MM,
        organ_warp=organ_warp,
    )


def _add_breasts(tissue: Floats, breasts: tuple[Breast, ...]) -> None:
    """Add the shadows of breasts to soft tissue, in place: round below, fading above."""
    for breast in breasts:
        rows, columns, u, v = _ellipse_grid(
            breast.x, breast.y, breast.radius_x, 1.7 * breast.radius_y
        )
        v = np.where(v > 0, v * 2.1, v)
        shadow = np.clip(1 - u * u - v * v, 0, None) ** 0.7
        tissue[rows, columns] += breast.thickness_mm * shadow


def _add_bubble(tissue: Floats, bubble: GastricBubble | None) -> None:
    """Remove the air in the stomach from soft tissue, in place."""
    if bubble is None:
        return
    rows, columns, u, v = _ellipse_grid(bubble.x, bubble.y, bubble.radius_x, bubble.radius_y)
    air = np.clip(1 - u * u - v * v, 0, None) ** 0.6
    if bubble.fluid_level:
        air *= np.clip((0.5 - v) * 3, 0, 1)
    tissue[rows, columns] -= np.minimum(bubble.air_mm * air, 0.7 * tissue[rows, columns])


def _ellipse_grid(
    x: float, y: float, radius_x: float, radius_y: float
) -> tuple[slice, slice, Floats, Floats]:
    """Crop the padded layers around an ellipse, given in px of the CT.

    Returns:
        Rows, columns, and the horizontal and vertical position relative to the radii: u² + v² = 1
        is the outline.
    """
    rows = slice(int(y - radius_y) + PAD, int(y + radius_y) + PAD + 2)
    columns = slice(int(x - radius_x) + PAD, int(x + radius_x) + PAD + 2)
    u = (np.arange(columns.start, columns.stop, dtype=np.float32) - PAD - np.float32(x)) / radius_x
    v = (np.arange(rows.start, rows.stop, dtype=np.float32) - PAD - np.float32(y)) / radius_y
    return rows, columns, u[None, :].astype(np.float32), v[:, None].astype(np.float32)


def _skeleton_warp(shape: Shape) -> Warp:
    """Return the warp of the bones: position in the frame, and habitus of the patient."""
    angle = np.deg2rad(shape.rotation)
    zoom, half = np.array(shape.zoom), SIZE / 2
    step_x = zoom * (np.cos(angle), np.sin(angle))
    step_y = zoom * (-np.sin(angle), np.cos(angle))
    origin = np.array(FRAME_CENTRE) + shape.shift - half * (step_x + step_y)
    x, y = Warp(origin, step_x, step_y, np.zeros((2, CELLS, CELLS))).cell_centres()
    displacement = np.asarray(ndimage.zoom(shape.distortion, (1, CELLS / 6, CELLS / 6), order=3))
    from_thorax, from_midline = x - THORAX[0], x - MIDLINE
    beside_ribs = np.logaddexp(0, (np.abs(from_thorax) - THORAX[1]) / 10) * 10  # px
    displacement[0] -= np.sign(from_thorax) * shape.flank * beside_ribs
    shoulder = np.logaddexp(0, (np.abs(from_midline) - 90) / 15) * 15 / 100
    displacement[1] -= shape.shoulder_slope * shoulder / (1 + np.exp((y - 80) / 18))
    amplitude, phase = shape.scoliosis
    spine = np.exp(-((from_midline / 120) ** 2))
    displacement[0] += amplitude * np.sin((y - 40) / 90 + phase) * spine
    return Warp(origin, step_x, step_y, displacement)


def _organ_warp(skeleton: Warp, shape: Shape) -> Warp:
    """Return the warp of the soft organs: domes raised, mediastinum shifted."""
    x, y = skeleton.cell_centres()
    displacement = skeleton.displacement.copy()
    for centre, elevation in zip((165.0, 335.0), shape.dome_elevation, strict=True):
        dome = np.exp(-(((x - centre) / 80) ** 2) - ((y - DOME_ROW) / 110) ** 2)
        displacement[1] += elevation * dome
    displacement[0] += shape.mediastinal_shift * np.exp(-(((x - MIDLINE) / 95) ** 2))
    return Warp(skeleton.origin, skeleton.step_x, skeleton.step_y, displacement)


def _heart_warp(organs: Warp, shape: Shape) -> Warp:
    """Return the warp of the heart: scaled about a point near its base."""
    x0, _, x1, y1 = HEART_BOX
    fixed = np.array([0.65 * x0 + 0.35 * x1, y1 - 20])  # the right border moves less
    scale = np.array(shape.heart)
    return Warp(
        fixed + (organs.origin - fixed) / scale,
        organs.step_x / scale,
        organs.step_y / scale,
        organs.displacement / scale[:, None, None],
    )
