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

from cxr14.phantoms.anatomy import LUNG_DENSITY, PAD, PIXEL_MM, Anatomy, Floats


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator that depends on the seed and the names only, never on call order."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def finding_side(record: Mapping[str, object], finding: str, seed: int) -> str:
    """Return the lung, right or left, of a patient's one-sided finding."""
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
        raised: elevation in px of the (right, left) dome.
        heart: (width, height) relative to the CT's heart.
        heart_box: (x, y, width, height) of the heart in frame px, or None.
    """

    zoom: list[float]
    shift: list[float]
    turn: float
    wobble: npt.NDArray[np.float64]
    raised: list[float]
    heart: list[float]
    heart_box: tuple[float, float, float, float] | None = None


@dataclass
class Look:
    """Weights of the groups and tone of the image."""

    soft: float
    bone: float
    vessels: float
    marks: float
    breast_mm: float
    noise: float
    exposure: float
    window: float
    detail: float


def patient_traits(record: Mapping[str, object], seed: int) -> tuple[Shape, Look]:
    """Sample the traits of a patient, with small changes by image and view."""
    of_patient = generator(seed, "patient", record["patient"])
    of_image = generator(seed, "image", record["image"])
    portable = record["view"] == "AP"
    shape = _shape(of_patient, of_image, portable)
    look = _look(of_patient, of_image, portable)
    age = float(str(record["age"]))
    look.bone *= 1.15 - 0.004 * min(age, 95.0)
    if record["sex"] != "F":
        look.breast_mm = 0.0
    return shape, look


def _shape(patient: np.random.Generator, image: np.random.Generator, portable: bool) -> Shape:
    wobble = patient.normal(0, 6.5, (2, 6, 6)) + image.normal(0, 1.2, (2, 6, 6))
    zoom = 0.89 * patient.normal(1, 0.05) * image.normal(1, 0.035) * (1.03 if portable else 1.0)
    tall = patient.normal(1, 0.06) * image.normal(1, 0.03) * (0.92 if portable else 1.0)
    width = patient.normal(1.0, 0.09) * image.normal(1, 0.02) * (1.06 if portable else 1.0)
    return Shape(
        zoom=[zoom, zoom / tall],
        shift=[float(v) for v in image.normal(0, (17, 15)) + patient.normal(0, (3, 5))],
        turn=float(image.normal(0, 3.5 if portable else 2.5)),
        wobble=wobble,
        raised=[float(v) for v in patient.normal(0, 8, 2) + image.normal(0, 3, 2)],
        heart=[float(width), float(patient.normal(1, 0.06))],
    )


def _look(patient: np.random.Generator, image: np.random.Generator, portable: bool) -> Look:
    return Look(
        soft=float(patient.normal(1.0, 0.08)),
        bone=float(patient.normal(1.0, 0.12)),
        vessels=float(patient.normal(1.0, 0.12)),
        marks=1.7 * float(np.exp(patient.normal(0, 0.3) + image.normal(0, 0.12))),
        breast_mm=float(patient.uniform(4, 32)),
        noise=float(image.uniform(1.2, 2.6)) * (1.5 if portable else 1.0),
        exposure=float(image.normal(0, 0.11)),
        window=float(np.exp(image.normal(0, 0.2))) * (1.1 if portable else 1.0),
        detail=float(patient.uniform(0.3, 1.1)),
    )


SIZE: Final = 512  # px per side while groups and findings are added up
GRID: Final = 8  # cells per side of the warp's mesh
HEART_BOX: Final = (189.0, 132.0, 384.0, 301.0)  # the heart in the CT's px: x0, y0, x1, y1
CENTRE: Final = (250.0, 186.0)  # the middle of an average frame in the CT's px: x, y
DOME_ROW: Final = 277.0  # top of the diaphragm, px of the CT
ROW: Final[Floats] = np.arange(SIZE, dtype=np.float32)[:, None]
COLUMN: Final[Floats] = np.arange(SIZE, dtype=np.float32)[None, :]

Mesh = list[tuple[tuple[int, int, int, int], tuple[float, ...]]]


@dataclass
class Scene:
    """The warped groups in the frame, each float32 (SIZE, SIZE), millimetres.

    Attributes:
        base: water equivalent of everything but heart and lung markings.
        heart: excess of the heart over lung of the same volume.
        marks: vessels and bronchi inside the lungs.
        right, left: lung along the ray.
        mm: millimetres per px of the frame.
    """

    base: Floats
    heart: Floats
    marks: Floats
    right: Floats
    left: Floats
    mm: float

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
    """Weight and warp the groups of one pose into the frame."""
    poses = [number for number, pose in enumerate(anatomy.poses) if pose.view == view]
    layers = anatomy.pose(int(image.choice(poses)))
    base = look.soft * (layers["soft"] + layers["abdomen"])
    base += look.vessels * layers["vessels"] + look.bone * layers["bone"]
    nodes = _nodes(shape)
    mesh, heart_mesh = _mesh(nodes), _mesh(_heart_nodes(nodes, shape))
    _add_breasts(base, look.breast_mm, shape)
    coarse = _mesh(nodes, SIZE // 2)
    right, left, still = (_warp(layers[name], coarse) for name in ("right", "left", "heart"))
    room = still + (1 - LUNG_DENSITY) * (right + left)  # a heart grows into lung, not into liver
    heart = np.minimum(_warp(layers["heart"], heart_mesh), room)
    mm = shape.zoom[0] * PIXEL_MM
    return Scene(_warp(base, mesh), heart, _warp(layers["marks"], mesh), right, left, mm)


def _add_breasts(base: Floats, thickness_mm: float, shape: Shape) -> None:
    """Add two soft shadows with a rounded lower edge, in the CT's px."""
    if not thickness_mm:
        return
    low = 255.0 + float(np.clip(shape.wobble[1, 0, 0] * 4, -40, 40))  # they hang high or low
    for middle in (148.0, 352.0):
        top, left = int(low + PAD - 124), int(middle + PAD - 84)
        y, x = np.ogrid[top : top + 180, left : left + 168]
        u, v = (x - PAD - middle) / 84.0, (y - PAD - low) / 74.0
        v = np.where(v > 0, v * 1.35, v * 0.6)  # steep below, fading above
        shadow = thickness_mm * np.clip(1 - u * u - v * v, 0, None) ** 0.7
        base[top : top + 180, left : left + 168] += shadow.astype(np.float32)


def _nodes(shape: Shape) -> npt.NDArray[np.float64]:
    """Return the CT position (x, y) in px of each node of the mesh: (2, GRID + 1, GRID + 1)."""
    across = np.linspace(-0.5, 0.5, GRID + 1) * SIZE
    y, x = np.meshgrid(across, across, indexing="ij")
    angle = np.deg2rad(shape.turn)
    turned = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    out = np.stack(
        [CENTRE[axis] + shape.shift[axis] + turned[axis] * shape.zoom[axis] for axis in (0, 1)]
    )
    for middle, raised in zip((165.0, 335.0), shape.raised, strict=True):
        near = np.exp(-(((out[0] - middle) / 80) ** 2) - ((out[1] - DOME_ROW) / 110) ** 2)
        out[1] += raised * near
    smooth = ndimage.zoom(shape.wobble, (1, (GRID + 1) / 6, (GRID + 1) / 6), order=3)
    return np.asarray(out + smooth)


def _heart_nodes(nodes: npt.NDArray[np.float64], shape: Shape) -> npt.NDArray[np.float64]:
    """Return the nodes of the heart's layer: scaled about its base, or fitted to a box."""
    x0, y0, x1, y1 = HEART_BOX
    if shape.heart_box is not None:
        x, y, width, height = shape.heart_box
        across = np.linspace(0, SIZE, GRID + 1)
        fitted = np.meshgrid(
            x0 + (across - x) / width * (x1 - x0), y0 + (across - y) / height * (y1 - y0)
        )
        return np.stack(fitted)
    fixed = 0.65 * x0 + 0.35 * x1, y1 - 20  # the right border moves less than the apex
    return np.stack(
        [fixed[axis] + (nodes[axis] - fixed[axis]) / shape.heart[axis] for axis in (0, 1)]
    )


def _mesh(nodes: npt.NDArray[np.float64], size: int = SIZE) -> Mesh:
    """Convert nodes to Pillow's mesh: target rectangles and their source corners."""
    step, padded = size // GRID, nodes + PAD
    mesh = []
    for row in range(GRID):
        for column in range(GRID):
            corners = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
            quad = tuple(float(padded[axis, r, c]) for r, c in corners for axis in (0, 1))
            left, top = column * step, row * step
            mesh.append(((left, top, left + step, top + step), quad))
    return mesh


def _warp(layer: Floats, mesh: Mesh) -> Floats:
    """Warp a layer into the frame; a coarse mesh is for layers without fine structure."""
    size = mesh[-1][0][2:]
    image = Image.fromarray(layer).transform(
        size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
    )
    if size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.array(image)
