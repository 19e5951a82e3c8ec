"""Devices: lines, tubes, drains, pacemakers and electrodes, as distractors.

Their paths are points of the CT, so they follow the patient's anatomy into the frame. They do not
depend on the findings, except for the drain, which a shortcut can bind to Pneumothorax.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.interpolate import Akima1DInterpolator

from cxr14.phantoms.scene import MIDLINE, SIZE, Scene, finding_side, seeded_rng
from cxr14.phantoms.textures import Floats

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SUPERSAMPLING: Final = 4  # px per px of the frame, while shapes are rasterized
SEGMENT_PX: Final = 4.0  # length of the straight segments of a curve

DEVICE_SHARES: Final = {
    "AP": {"line": 0.2, "tube": 0.1, "electrodes": 0.27, "pacemaker": 0.04, "drain": 0.03},
    "PA": {"line": 0.02, "tube": 0.002, "electrodes": 0.01, "pacemaker": 0.03, "drain": 0.03},
}
"""Share of the images of a view with a device."""


@dataclass(frozen=True)
class DeviceContext:
    """The record of an image, and the arguments that its devices depend on.

    Attributes:
        record: image, patient, view and the finding columns.
        seed: seed of all phantoms.
        shortcut: share of images, 0 to 1, whose drain depends on Pneumothorax.
    """

    record: Mapping[str, object]
    seed: int
    shortcut: float


def add_devices(
    scene: Scene, record: Mapping[str, object], seed: int, shortcut: float
) -> tuple[Floats, dict[str, Mask]]:
    """Draw the devices of an image.

    Args:
        scene: the patient in the frame.
        record: image, patient, view and the finding columns.
        seed: seed of all phantoms.
        shortcut: share of images, 0 to 1, whose drain depends on Pneumothorax. With the finding
            they have a drain on its side, without it none. Of the other images 3 % have a drain,
            whatever their findings.

    Returns:
        Millimetres of water to add, (SIZE, SIZE), and the mask of each device by name.
    """
    canvas = Canvas()
    masks = {}
    for name in sample_devices(record, seed, shortcut):
        canvas.mask = np.zeros((SIZE, SIZE), bool)
        rng = seeded_rng(seed, "course", name, record["image"])
        DEVICES[name](canvas, scene, DeviceContext(record, seed, shortcut), rng)
        masks[name] = canvas.mask
    return canvas.water_mm, masks


def sample_devices(record: Mapping[str, object], seed: int, shortcut: float) -> list[str]:
    """Return the names of the devices in an image. A pacemaker is in all images of its patient."""
    shares = DEVICE_SHARES["AP" if record["view"] == "AP" else "PA"]
    names = []
    for name, share in shares.items():
        unit = record["patient" if name == "pacemaker" else "image"]
        rng = seeded_rng(seed, "device", name, unit)
        present = rng.random() < share
        if name == "drain" and rng.random() < shortcut:
            present = bool(int(str(record["Pneumothorax"])))
        if present:
            names.append(name)
    return names


@dataclass
class Canvas:
    """Density of all devices, and mask of the current device.

    Attributes:
        water_mm: millimetres of water of all devices, (SIZE, SIZE).
        mask: px of the current device, (SIZE, SIZE).
    """

    water_mm: Floats = field(default_factory=lambda: np.zeros((SIZE, SIZE), np.float32))
    mask: Mask = field(default_factory=lambda: np.zeros((SIZE, SIZE), bool))

    def stroke(self, curve: Points, width_px: float, water_mm: float) -> None:
        """Add a line of a width along points (n, 2) of the frame."""
        width = max(1, round(width_px * SUPERSAMPLING))
        self._add(
            curve,
            width_px / 2 + 2,
            water_mm,
            lambda pen, points: pen.line(_tuples(points), fill=255, width=width),
        )

    def polygon(self, corners: Points, water_mm: float) -> None:
        """Add a filled polygon with corners (n, 2) in the frame."""
        self._add(
            corners, 2.0, water_mm, lambda pen, points: pen.polygon(_tuples(points), fill=255)
        )

    def disc(self, centre: Points, radius_px: float, water_mm: float) -> None:
        """Add a disc around a point (2,) of the frame."""
        angles = np.linspace(0, 2 * np.pi, 25)[:-1]
        circle = np.stack([np.cos(angles), np.sin(angles)], -1)
        self.polygon(centre + radius_px * circle, water_mm)

    def _add(
        self,
        points: Points,
        margin_px: float,
        water_mm: float,
        draw: Callable[[ImageDraw.ImageDraw, Points], None],
    ) -> None:
        """Rasterize with supersampling, and add the covered share of each px.

        Args:
            points: (n, 2) of the frame.
            margin_px: added to the bounds of the points.
            water_mm: density of the shape.
            draw: draws the shape, given the points in px of the supersampled bounds.
        """
        low = np.clip(np.floor(points.min(axis=0) - margin_px), 0, SIZE).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + margin_px), 0, SIZE).astype(int)
        width, height = (int(length) for length in high - low)
        if width < 1 or height < 1:
            return
        image = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        draw(ImageDraw.Draw(image), (points - low) * SUPERSAMPLING)
        coverage = np.asarray(image.reduce(SUPERSAMPLING), np.float32) / 255
        bounds = slice(low[1], high[1]), slice(low[0], high[0])
        self.water_mm[bounds] += np.float32(water_mm) * coverage
        self.mask[bounds] |= coverage > 0.3


def _tuples(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _frame_curve(scene: Scene, points: npt.ArrayLike) -> Points:
    """Return a smooth curve (m, 2) in the frame through points (n, 2) of the CT."""
    knots = scene.organ_warp.to_frame(points)
    lengths = np.hypot(*np.diff(knots, axis=0).T)
    arc_px = np.concatenate([[0.0], np.cumsum(np.maximum(lengths, 1e-3))])
    count = max(2, int(arc_px[-1] / SEGMENT_PX))
    return np.asarray(Akima1DInterpolator(arc_px, knots)(np.linspace(0, arc_px[-1], count)))


def _normals(curve: Points) -> Points:
    """Return the unit normals of a curve, (n, 2)."""
    dx, dy = np.gradient(curve, axis=0).T
    length = np.maximum(np.hypot(dx, dy), 1e-6)
    return np.stack([-dy / length, dx / length], axis=-1)


def _jittered(
    rng: np.random.Generator, points: Sequence[tuple[float, float]], deviation_px: float
) -> Points:
    """Return points with a random displacement."""
    return np.array(points) + rng.normal(0, deviation_px, (len(points), 2))


def draw_drain(
    canvas: Canvas, scene: Scene, context: DeviceContext, rng: np.random.Generator
) -> None:
    """Draw a chest drain: a wide tube from the flank towards the apex or the base."""
    side = "right" if rng.random() < 0.5 else "left"
    if context.shortcut and int(str(context.record["Pneumothorax"])):
        side = finding_side(context.record, "Pneumothorax", context.seed)
    sign = -1 if side == "right" else 1
    entry, to_apex = rng.uniform(170, 235), rng.random() < 0.7
    if to_apex:
        inside = [(160, entry), (146, 140), (124, 88), (92, 50)]
        path = [(232, entry + 40), (196, entry + 22), *inside]
    else:
        path = [(232, entry - 30), (196, entry - 16), (158, entry + 4), (124, 246), (84, 262)]
    curve = _frame_curve(scene, _jittered(rng, path, 4.0) * (sign, 1) + (MIDLINE, 0))
    width = rng.uniform(6.0, 8.5) / scene.mm_per_px
    canvas.stroke(curve, width, 10.0)
    canvas.stroke(curve, 0.6 * width, -5.0)  # lumen
    stripe = curve + _normals(curve) * width * rng.choice([-0.28, 0.28])
    stripe_mm = rng.uniform(20, 30)
    side_hole = max(2, len(stripe) - round(45 / scene.mm_per_px / SEGMENT_PX))
    for part in (stripe[:side_hole], stripe[side_hole + 2 :]):  # interrupted by the last side hole
        canvas.stroke(part, 1.6 / scene.mm_per_px, stripe_mm)


LINE_PATHS: Final = {
    "right jugular": ((186.0, -150.0), (193.0, -40.0), (200.0, 30.0), (206.0, 90.0)),
    "right subclavian": ((70.0, 62.0), (118.0, 26.0), (172.0, 38.0), (202.0, 84.0)),
    "left subclavian": ((418.0, 62.0), (372.0, 26.0), (310.0, 42.0), (246.0, 82.0), (212.0, 112.0)),
    "right arm": ((-30.0, 190.0), (10.0, 96.0), (88.0, 36.0), (166.0, 44.0), (203.0, 88.0)),
}
"""Paths of central venous lines to the superior vena cava, px of the CT."""


def draw_central_line(
    canvas: Canvas, scene: Scene, context: DeviceContext, rng: np.random.Generator
) -> None:
    """Draw a central venous line from neck, clavicle or arm to the right atrium."""
    access = rng.choice(list(LINE_PATHS), p=(0.45, 0.25, 0.15, 0.15))
    tip = (207.0, rng.uniform(160, 215))
    path = [*LINE_PATHS[access], (206.0, 0.5 * (110 + tip[1])), tip]
    curve = _frame_curve(scene, _jittered(rng, path, 2.5))
    canvas.stroke(curve, rng.uniform(1.7, 2.6) / scene.mm_per_px, rng.uniform(11, 17))


def draw_tubes(
    canvas: Canvas, scene: Scene, context: DeviceContext, rng: np.random.Generator
) -> None:
    """Draw a breathing tube above the carina, a feeding tube into the stomach, or both."""
    kind = rng.random()
    if kind < 0.8:
        _draw_breathing_tube(canvas, scene, rng)
    if kind > 0.45:
        _draw_feeding_tube(canvas, scene, rng)


def _draw_breathing_tube(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    tip = rng.uniform(50, 95)
    path = [(236.0, -170.0), (238.0, -60.0), (239.0, 20.0), (239.0, tip)]
    curve = _frame_curve(scene, _jittered(rng, path, 1.5))
    width = rng.uniform(8.5, 10.5) / scene.mm_per_px
    canvas.stroke(curve, width, 4.0)
    canvas.stroke(curve, 0.7 * width, -4.0)  # lumen
    stripe = curve + _normals(curve) * width * rng.choice([-0.35, 0.35])
    canvas.stroke(stripe, 1.2 / scene.mm_per_px, rng.uniform(14, 22))


def _draw_feeding_tube(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    tip = rng.uniform(295, 335), rng.uniform(322, 350)
    path = [(245.0, -170.0), (244.0, 0.0), (248.0, 120.0), (254.0, 220.0), (268.0, 288.0), tip]
    curve = _frame_curve(scene, _jittered(rng, path, 2.0))
    canvas.stroke(curve, 3.4 / scene.mm_per_px, rng.uniform(7, 11))
    canvas.stroke(curve, 1.0 / scene.mm_per_px, rng.uniform(7, 11))


def draw_pacemaker(
    canvas: Canvas, scene: Scene, context: DeviceContext, rng: np.random.Generator
) -> None:
    """Draw a pacemaker below the left clavicle, with a lead to the ventricle and often the atrium.

    Position and leads are those of the patient, so `rng`, which is that of the image, is not used.
    """
    rng = seeded_rng(context.seed, "course", "pacemaker", context.record["patient"])
    pocket = _jittered(rng, [(378.0, 92.0)], 7.0)
    centre = scene.organ_warp.to_frame(pocket)[0]
    radius, angle = rng.uniform(20, 26) / scene.mm_per_px, rng.uniform(-0.4, 0.4)
    case = _rounded_square(radius, angle)
    canvas.polygon(centre + case, 70.0)
    canvas.polygon(centre + (0, radius * 0.12) + 0.62 * case * (1, 0.9), 60.0)  # battery
    lead_ends = [[(204.0, 196.0), (226.0, 274.0), (306.0, 288.0)]]  # right ventricle
    if rng.random() < 0.6:
        lead_ends.append([(203.0, 184.0), (205.0, 216.0), (218.0, 204.0)])  # right atrium
    x, y = pocket[0]
    vein = [(x - 14, y - 24), (352.0, 50.0), (300.0, 46.0), (240.0, 80.0), (208.0, 116.0)]
    for lead_end in lead_ends:
        curve = _frame_curve(scene, _jittered(rng, [*vein, *lead_end], 2.0))
        canvas.stroke(curve, 1.6 / scene.mm_per_px, 24.0)
        canvas.stroke(curve[-4:], 2.6 / scene.mm_per_px, 22.0)  # electrode


def _rounded_square(radius: float, angle: float) -> Points:
    """Return the outline (40, 2) of a slightly flat, rotated square with round corners."""
    angles = np.linspace(0, 2 * np.pi, 41)[:-1]
    unit_x, unit_y = (np.sign(f) * np.abs(f) ** 0.6 for f in (np.cos(angles), np.sin(angles)))
    x, y = unit_x * radius, unit_y * radius * 0.86
    return np.stack(
        [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], axis=-1
    )


ELECTRODES: Final = ((126.0, 52.0), (372.0, 50.0), (104.0, 262.0), (398.0, 270.0), (258.0, 176.0))
"""Positions of the electrodes of a monitor, px of the CT."""


def draw_electrodes(
    canvas: Canvas, scene: Scene, context: DeviceContext, rng: np.random.Generator
) -> None:
    """Draw three to five electrodes of a monitor, with their cables."""
    count = int(rng.integers(3, 6))
    sign = -1 if rng.random() < 0.5 else 1
    monitor = np.array([MIDLINE + sign * rng.uniform(60, 230), 430.0])
    if rng.random() < 0.6:
        monitor = np.array([MIDLINE + sign * rng.uniform(90, 170), -110.0])
    for electrode in _jittered(rng, ELECTRODES[:count], 11.0):
        middle = 0.5 * (electrode + monitor) + rng.normal(0, 26, 2)
        start = electrode + 0.2 * (monitor - electrode) + rng.normal(0, 9, 2)
        end = monitor + rng.normal(0, 6, 2)
        cable = _frame_curve(scene, np.stack([electrode, start, middle, end]))
        canvas.stroke(cable, 1.3 / scene.mm_per_px, 15.0)
        canvas.disc(cable[0], 7.5 / scene.mm_per_px, 7.0)
        canvas.disc(cable[0], 2.6 / scene.mm_per_px, 42.0)


DEVICES: Final[dict[str, Callable[[Canvas, Scene, DeviceContext, np.random.Generator], None]]] = {
    "line": draw_central_line,
    "tube": draw_tubes,
    "electrodes": draw_electrodes,
    "pacemaker": draw_pacemaker,
    "drain": draw_drain,
}
