"""A phantom without findings: the groups of a pose, weighted and warped into the frame."""

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
from cxr14.phantoms.anatomy import LUNG_DENSITY, PAD, PIXEL_MM, Anatomy, Floats
from cxr14.phantoms.warp import CELLS, Warp, enlarged, warped

SIZE: Final = warp.SIZE  # px per side while groups and findings are added up


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator that depends on the seed and the names only, never on call order."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def finding_side(record: Mapping[str, object], finding: str, seed: int) -> str:
    """Return the side of a patient's one-sided finding: ``right`` or ``left``."""
    rng = generator(seed, "side", finding, record["patient"])
    return "right" if rng.random() < 0.55 else "left"


@dataclass
class Shape:
    """Positions and sizes of a patient's organs. Global findings change them.

    Attributes:
        zoom: (x, y) px of the CT per px of the frame.
        shift: (x, y) shift of the frame's middle in px of the CT.
        turn: in-plane rotation in degrees.
        wobble: (2, 6, 6) smooth displacement in px of the CT.
        raised: elevation in px of the (right, left) dome; more at poor inspiration.
        heart: (width, height) relative to the CT's heart.
        flank: thickness of the soft tissue beside the ribs relative to the CT's, -0.5 to 0.6.
        slope: fall of the shoulders' ends in px.
        curve: (size in px, phase) of the spine's lateral curve.
        mediastinum: shift of the organs between the lungs in px, positive to the picture's left,
            as a rotation about the long axis gives it.
    """

    zoom: list[float]
    shift: list[float]
    turn: float
    wobble: npt.NDArray[np.float64]
    raised: list[float]
    heart: list[float]
    flank: float = 0.0
    slope: float = 0.0
    curve: tuple[float, float] = (0.0, 0.0)
    mediastinum: float = 0.0


@dataclass(frozen=True)
class Breast:
    """A breast's shadow: middle and radii in px of the CT, thickness in mm."""

    x: float
    y: float
    wide: float
    tall: float
    thick_mm: float


@dataclass(frozen=True)
class Bubble:
    """Air in the stomach: middle and radii in px of the CT, air in mm; flat below if upright."""

    x: float
    y: float
    wide: float
    tall: float
    air_mm: float
    level: bool


@dataclass
class Look:
    """Weights of the groups, shadows of one patient or image, and tone of the image."""

    soft: float
    bone: float
    vessels: float
    marks: float
    noise: float
    exposure: float
    window: float
    detail: float
    breasts: tuple[Breast, ...] = ()
    bubble: Bubble | None = None


def patient_traits(record: Mapping[str, object], seed: int) -> tuple[Shape, Look]:
    """Sample the traits of a patient, with small changes by image and view."""
    of_patient = generator(seed, "patient", record["patient"])
    of_image = generator(seed, "image", record["image"])
    portable, female = record["view"] == "AP", record["sex"] == "F"
    shape = _shape(of_patient, of_image, portable, female)
    look = _look(of_patient, of_image, portable)
    age = float(str(record["age"]))
    look.bone *= (1.15 - 0.004 * min(age, 95.0)) * (0.93 if female else 1.02)
    if female:
        look.breasts = _breasts(generator(seed, "breasts", record["patient"]), shape.flank)
    look.bubble = _bubble(generator(seed, "bubble", record["image"]), portable)
    return shape, look


def _shape(
    patient: np.random.Generator, image: np.random.Generator, portable: bool, female: bool
) -> Shape:
    wobble = patient.normal(0, (4.2, 5.5), (6, 6, 2)) + image.normal(0, 1.2, (6, 6, 2))
    zoom = 0.92 * patient.normal(1, 0.04) * image.normal(1, 0.03)
    tall = patient.normal(1, 0.05) * image.normal(1, 0.02)
    width = patient.normal(1.0, 0.09) * image.normal(1, 0.02) * (1.06 if portable else 1.0)
    broad = patient.normal(0.98 if female else 1.02, 0.035)
    weight = float(np.clip(patient.normal(0.08, 0.24), -0.45, 0.55))  # thin to obese
    inspiration = image.normal(16.0, 12.0) if portable else image.normal(-2.0, 7.0)
    return Shape(
        zoom=[zoom / broad, zoom / tall],
        shift=[float(v) for v in image.normal(0, (13, 11)) + patient.normal(0, (3, 5))],
        turn=float(image.normal(0, 3.5 if portable else 2.0)),
        wobble=np.moveaxis(wobble, -1, 0),
        raised=[float(v) for v in patient.normal(0, 8, 2) + image.normal(0, 2, 2) + inspiration],
        heart=[float(width), float(patient.normal(1, 0.06))],
        flank=weight,
        slope=float(patient.normal(4.0 if female else 0.0, 9.0) - (8.0 if portable else 0.0)),
        curve=(float(patient.normal(0, 4.0)), float(patient.uniform(0, 2 * np.pi))),
        mediastinum=float(image.normal(0, 11.0 if portable else 6.0)),
    )


def _look(patient: np.random.Generator, image: np.random.Generator, portable: bool) -> Look:
    return Look(
        soft=float(patient.normal(1.0, 0.08)),
        bone=float(patient.normal(1.0, 0.12)),
        vessels=float(patient.normal(1.0, 0.12)),
        marks=1.7 * float(np.exp(patient.normal(0, 0.3) + image.normal(0, 0.12))),
        noise=float(image.uniform(1.2, 2.6)) * (1.5 if portable else 1.0),
        exposure=float(image.normal(0, 0.11)),
        window=float(np.exp(image.normal(0, 0.2))) * (1.1 if portable else 1.0),
        detail=float(patient.uniform(0.3, 1.1)),
    )


def _breasts(rng: np.random.Generator, flank: float) -> tuple[Breast, ...]:
    """Sample a woman's breasts, larger in heavy patients; one in 40 women has lost one."""
    size = float(np.clip(rng.normal(1.0 + 0.3 * flank, 0.16), 0.65, 1.4))
    thick, low = rng.uniform(14, 40) * size, rng.normal(250, 16)
    apart, tall = rng.normal(101, 7), rng.uniform(0.8, 1.05)
    lost = int(rng.integers(2)) if rng.random() < 0.025 else None
    out = []
    for index, side in enumerate((-1, 1)):
        drop, own = rng.normal(0, 5), size * rng.normal(1, 0.04)
        if index != lost:
            middle = MIDLINE + side * apart * (0.8 + 0.2 * own)
            out.append(Breast(middle, low + drop, 84 * own, 82 * own * tall, thick * own))
    return tuple(out)


def _bubble(rng: np.random.Generator, portable: bool) -> Bubble | None:
    """Sample the air in the stomach, seen below the left dome of half of the upright."""
    if rng.random() > (0.35 if portable else 0.55):
        return None
    wide = rng.uniform(14, 28)
    tall = wide * rng.uniform(0.7, 1.05)
    x, y = rng.normal(328, 9), DOME_ROW + 14 + tall + rng.uniform(0, 8)
    return Bubble(x, y, wide, tall, rng.uniform(20, 50), not portable)


HEART_BOX: Final = (189.0, 132.0, 384.0, 301.0)  # the heart in the CT's px: x0, y0, x1, y1
CENTRE: Final = (250.0, 186.0)  # the middle of an average frame in the CT's px: x, y
MIDLINE: Final = 247.0  # column of the sternum, px of the CT
THORAX: Final = (260.0, 196.0)  # middle and half width of the ribs, px of the CT
DOME_ROW: Final = 277.0  # top of the diaphragm, px of the CT
ROW: Final[Floats] = np.arange(SIZE, dtype=np.float32)[:, None]
COLUMN: Final[Floats] = np.arange(SIZE, dtype=np.float32)[None, :]


@dataclass
class Scene:
    """The warped groups in the frame, each float32 (SIZE, SIZE), millimetres.

    Attributes:
        base: water equivalent of everything but heart and lung markings.
        heart: excess of the heart over lung of the same volume.
        marks: vessels and bronchi inside the lungs.
        right, left: lung along the ray.
        mm: millimetres per px of the frame.
        organs: the warp of heart, lungs and other soft organs.
    """

    base: Floats
    heart: Floats
    marks: Floats
    right: Floats
    left: Floats
    mm: float
    organs: Warp

    @cached_property
    def lungs(self) -> Floats:
        """Millimetres of lung along the ray, both sides."""
        return self.right + self.left

    def side(self, side: str) -> Floats:
        """Millimetres of lung along the ray, ``right`` or ``left``."""
        return self.right if side == "right" else self.left

    def extent(self, side: str) -> tuple[int, int, int, int]:
        """Return the bounds of a lung's projection in px: top, bottom, medial, lateral."""
        mask = self.side(side)[::4, ::4] > 12
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) * 4 for axis in (1, 0))
        if not len(rows):
            return SIZE // 4, 3 * SIZE // 4, SIZE // 2, SIZE // 4 if side == "right" else SIZE
        ends = (int(columns[0]), int(columns[-1]))
        medial, lateral = ends[::-1] if side == "right" else ends
        return int(rows[0]), int(rows[-1]), medial, lateral

    def depth_px(self, side: str) -> Floats:
        """Return the distance of each px to the outline of a lung, in px; 0 outside."""
        small = self.side(side)[::4, ::4] > 12
        distance = ndimage.distance_transform_edt(small).astype(np.float32) * 4
        return np.asarray(Image.fromarray(distance).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def build_scene(
    anatomy: Anatomy, shape: Shape, look: Look, view: str, image: np.random.Generator
) -> Scene:
    """Weight and warp the groups of one pose into the frame.

    Bones are warped on their own, so that a raised diaphragm lies before a higher rib.
    """
    poses = [number for number, pose in enumerate(anatomy.poses) if pose.view == view]
    layers = anatomy.pose(int(image.choice(poses)))
    tissue = look.soft * layers["soft"] + look.vessels * layers["vessels"]
    _add_breasts(tissue, look.breasts)
    _add_bubble(tissue, look.bubble)
    skeleton = _skeleton_warp(shape)
    organs = _organ_warp(skeleton, shape)
    smooth = [tissue, layers["heart"], layers["right"], layers["left"]]
    tissue, still, right, left = warped(smooth, organs, SIZE // 2)
    room = still + (1 - LUNG_DENSITY) * (right + left)  # a heart grows into lung, not into liver
    heart = np.minimum(warped([layers["heart"]], _heart_warp(organs, shape), SIZE // 2)[0], room)
    base = look.bone * warped([layers["bone"]], skeleton)[0] + enlarged(tissue)
    return Scene(
        base=base,
        heart=enlarged(heart),
        marks=warped([layers["marks"]], organs)[0],
        right=enlarged(right),
        left=enlarged(left),
        mm=shape.zoom[0] * PIXEL_MM,
        organs=organs,
    )


def _add_breasts(tissue: Floats, breasts: tuple[Breast, ...]) -> None:
    """Add soft shadows with a rounded lower edge, in the CT's px."""
    for breast in breasts:
        rows, columns, u, v = _around(breast.x, breast.y, breast.wide, 1.7 * breast.tall)
        v = np.where(v > 0, v * 2.1, v)  # steep below, fading above
        shadow = np.clip(1 - u * u - v * v, 0, None) ** 0.7
        tissue[rows, columns] += breast.thick_mm * shadow


def _add_bubble(tissue: Floats, bubble: Bubble | None) -> None:
    """Take the air of the stomach out of the tissue, in the CT's px."""
    if bubble is None:
        return
    rows, columns, u, v = _around(bubble.x, bubble.y, bubble.wide, bubble.tall)
    air = np.clip(1 - u * u - v * v, 0, None) ** 0.6
    if bubble.level:
        air *= np.clip((0.5 - v) * 3, 0, 1)  # fluid below a level
    tissue[rows, columns] -= np.minimum(bubble.air_mm * air, 0.7 * tissue[rows, columns])


def _around(x: float, y: float, wide: float, tall: float) -> tuple[slice, slice, Floats, Floats]:
    """Return rows and columns of the padded layers around an ellipse, and its u and v."""
    rows = slice(int(y - tall) + PAD, int(y + tall) + PAD + 2)
    columns = slice(int(x - wide) + PAD, int(x + wide) + PAD + 2)
    u = (np.arange(columns.start, columns.stop, dtype=np.float32) - PAD - np.float32(x)) / wide
    v = (np.arange(rows.start, rows.stop, dtype=np.float32) - PAD - np.float32(y)) / tall
    return rows, columns, u[None, :].astype(np.float32), v[:, None].astype(np.float32)


def _skeleton_warp(shape: Shape) -> Warp:
    """Return the warp of the bones: the frame's position, and the patient's habitus."""
    angle = np.deg2rad(shape.turn)
    zoom, half = np.array(shape.zoom), SIZE / 2
    across = zoom * (np.cos(angle), np.sin(angle))
    down = zoom * (-np.sin(angle), np.cos(angle))
    start = np.array(CENTRE) + shape.shift - half * (across + down)
    flat = Warp(start, across, down, np.zeros((2, CELLS, CELLS)))
    x, y = flat.cells()
    bend = np.asarray(ndimage.zoom(shape.wobble, (1, CELLS / 6, CELLS / 6), order=3))
    aside = x - MIDLINE
    ribs, width = (x - THORAX[0]), THORAX[1]
    beyond = np.logaddexp(0, (np.abs(ribs) - width) / 10) * 10  # px beside the ribs
    bend[0] -= np.sign(ribs) * shape.flank * beyond
    outer = np.logaddexp(0, (np.abs(aside) - 90) / 15) * 15 / 100
    bend[1] -= shape.slope * outer / (1 + np.exp((y - 80) / 18))
    size, phase = shape.curve
    bend[0] += size * np.sin((y - 40) / 90 + phase) * np.exp(-((aside / 120) ** 2))
    return Warp(start, across, down, bend)


def _organ_warp(skeleton: Warp, shape: Shape) -> Warp:
    """Return the warp of the soft organs: domes raised, mediastinum shifted."""
    x, y = skeleton.cells()
    bend = skeleton.bend.copy()
    for middle, raised in zip((165.0, 335.0), shape.raised, strict=True):
        bend[1] += raised * np.exp(-(((x - middle) / 80) ** 2) - ((y - DOME_ROW) / 110) ** 2)
    bend[0] += shape.mediastinum * np.exp(-(((x - MIDLINE) / 95) ** 2))
    return Warp(skeleton.start, skeleton.across, skeleton.down, bend)


def _heart_warp(organs: Warp, shape: Shape) -> Warp:
    """Return the warp of the heart: scaled about its base."""
    x0, _, x1, y1 = HEART_BOX
    fixed = np.array([0.65 * x0 + 0.35 * x1, y1 - 20])  # the right border moves less
    heart = np.array(shape.heart)
    return Warp(
        fixed + (organs.start - fixed) / heart,
        organs.across / heart,
        organs.down / heart,
        organs.bend / heart[:, None, None],
    )
