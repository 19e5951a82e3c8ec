"""One phantom before its findings: the groups of a pose, weighed and warped into the frame."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from cxr14.data.phantom.anatomy import PAD, Anatomy
from cxr14.data.phantom.ct import LUNG_DENSITY, PIXEL_MM, Floats
from cxr14.data.phantom.patient import Look, Shape

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
        heart: what the heart adds to lung in its place.
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
        """Where a lung's projection begins and ends, px: top, bottom, medial, lateral."""
        seen = self.side(side)[::4, ::4] > 12
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) * 4 for axis in (1, 0))
        if not len(rows):
            return SIZE // 4, 3 * SIZE // 4, SIZE // 2, SIZE // 4 if side == "right" else SIZE
        ends = (int(columns[0]), int(columns[-1]))
        medial, lateral = ends[::-1] if side == "right" else ends
        return int(rows[0]), int(rows[-1]), medial, lateral

    def depth_px(self, side: str) -> Floats:
        """Distance of each px to the outline of a lung's projection, 0 outside; in px."""
        small = self.side(side)[::4, ::4] > 12
        distance = ndimage.distance_transform_edt(small).astype(np.float32) * 4
        return np.asarray(Image.fromarray(distance).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def build_scene(
    anatomy: Anatomy, shape: Shape, look: Look, view: str, image: np.random.Generator
) -> Scene:
    """Weigh and warp the groups of one pose into the frame."""
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
    """CT position (x, y) in px under each node of the mesh: (2, GRID + 1, GRID + 1)."""
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
    """Positions in the heart's own picture: scaled about its base, or fitted to a box."""
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
    """Turn nodes into Pillow's mesh: target rectangles and their source corners."""
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
    """Bring a layer into the frame; a coarse mesh is for layers without fine structure."""
    size = mesh[-1][0][2:]
    image = Image.fromarray(layer).transform(
        size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
    )
    if size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.array(image)
