"""Devices of an image: lines, tubes, drains, pacemakers and electrodes, as distractors.

Their courses are points of the CT, so they follow the patient's anatomy into the frame. They do not
depend on the findings, but for the drain, which a shortcut can bind to Pneumothorax.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.interpolate import Akima1DInterpolator

from cxr14.phantoms.anatomy import Floats
from cxr14.phantoms.scene import MIDLINE, SIZE, Scene, finding_side, generator

Points = npt.NDArray[np.float64]
Mask512 = npt.NDArray[np.bool_]

FINE: Final = 4  # px per px of the frame while strokes are rasterized
STEP_PX: Final = 4.0  # length of a curve's straight pieces

SHARES: Final = {
    "AP": {"line": 0.2, "tube": 0.1, "electrodes": 0.27, "pacemaker": 0.04, "drain": 0.03},
    "PA": {"line": 0.02, "tube": 0.002, "electrodes": 0.01, "pacemaker": 0.03, "drain": 0.03},
}
"""Share of the images of a view that show a device."""


def add_devices(
    scene: Scene, record: Mapping[str, object], seed: int, shortcut: float
) -> tuple[Floats, dict[str, Mask512]]:
    """Draw the devices of an image.

    Args:
        scene: the patient in the frame.
        record: image, patient, view and the finding columns.
        seed: seed of all phantoms.
        shortcut: share of images, 0 to 1, whose drain follows Pneumothorax: one on its side with
            the finding, none without it. Of the others 3 % have one, whatever their findings.

    Returns:
        Millimetres of water to add, (SIZE, SIZE), and the mask of each device drawn, by name.
    """
    canvas = Canvas()
    masks = {}
    for name in present(record, seed, shortcut):
        canvas.mask = np.zeros((SIZE, SIZE), bool)
        rng = generator(seed, "course", name, record["image"])
        DEVICES[name](canvas, scene, Site(record, seed, shortcut), rng)
        masks[name] = canvas.mask
    return canvas.water_mm, masks


def present(record: Mapping[str, object], seed: int, shortcut: float) -> list[str]:
    """Return the names of the devices in an image; a pacemaker stays with its patient."""
    shares = SHARES["AP" if record["view"] == "AP" else "PA"]
    names = []
    for name, share in shares.items():
        owner = record["patient" if name == "pacemaker" else "image"]
        rng = generator(seed, "device", name, owner)
        has = rng.random() < share
        if name == "drain" and rng.random() < shortcut:
            has = bool(int(str(record["Pneumothorax"])))
        if has:
            names.append(name)
    return names


@dataclass(frozen=True)
class Site:
    """What decides the side of a device."""

    record: Mapping[str, object]
    seed: int
    shortcut: float


@dataclass
class Canvas:
    """Density and mask while devices are drawn.

    Attributes:
        water_mm: millimetres of water of all devices, (SIZE, SIZE).
        mask: px of the present device, (SIZE, SIZE).
    """

    water_mm: Floats = field(default_factory=lambda: np.zeros((SIZE, SIZE), np.float32))
    mask: Mask512 = field(default_factory=lambda: np.zeros((SIZE, SIZE), bool))

    def stroke(self, curve: Points, width_px: float, dense_mm: float) -> None:
        """Add a curve of a width: points (n, 2) of the frame in px."""
        self._add(curve, width_px / 2 + 2, dense_mm, lambda pen, at: _line(pen, at, width_px))

    def polygon(self, corners: Points, dense_mm: float) -> None:
        """Add a filled outline: points (n, 2) of the frame in px."""
        self._add(corners, 2.0, dense_mm, lambda pen, at: pen.polygon(_flat(at), fill=255))

    def disc(self, middle: Points, radius_px: float, dense_mm: float) -> None:
        """Add a disc around a point (2,) of the frame in px."""
        turns = np.linspace(0, 2 * np.pi, 25)[:-1]
        self.polygon(middle + radius_px * np.stack([np.cos(turns), np.sin(turns)], -1), dense_mm)

    def _add(
        self,
        points: Points,
        margin: float,
        dense_mm: float,
        draw: Callable[[ImageDraw.ImageDraw, Points], None],
    ) -> None:
        """Rasterize finely in the bounds of the points, and add the share that each px covers."""
        low = np.clip(np.floor(points.min(axis=0) - margin), 0, SIZE).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + margin), 0, SIZE).astype(int)
        width, height = (int(length) for length in high - low)
        if width < 1 or height < 1:
            return
        fine = Image.new("L", (width * FINE, height * FINE))
        draw(ImageDraw.Draw(fine), (points - low) * FINE)
        share = np.asarray(fine.reduce(FINE), np.float32) / 255
        at = slice(low[1], high[1]), slice(low[0], high[0])
        self.water_mm[at] += np.float32(dense_mm) * share
        self.mask[at] |= share > 0.3


def _line(pen: ImageDraw.ImageDraw, points: Points, width_px: float) -> None:
    pen.line(_flat(points), fill=255, width=max(1, round(width_px * FINE)))


def _flat(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def course(scene: Scene, points: npt.ArrayLike) -> Points:
    """Return a smooth curve through points of the CT (n, 2), in px of the frame."""
    knots = scene.organs.frame_points(points)
    lengths = np.hypot(*np.diff(knots, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(np.maximum(lengths, 1e-3))])
    count = max(2, int(along[-1] / STEP_PX))
    return np.asarray(Akima1DInterpolator(along, knots)(np.linspace(0, along[-1], count)))


def _normals(curve: Points) -> Points:
    """Return the unit normals of a curve, (n, 2)."""
    dx, dy = np.gradient(curve, axis=0).T
    length = np.maximum(np.hypot(dx, dy), 1e-6)
    return np.stack([-dy / length, dx / length], axis=-1)


def _near(rng: np.random.Generator, points: Sequence[tuple[float, float]], spread: float) -> Points:
    """Return points with a random displacement of a spread in px."""
    return np.array(points) + rng.normal(0, spread, (len(points), 2))


def drain(canvas: Canvas, scene: Scene, site: Site, rng: np.random.Generator) -> None:
    """Draw a chest drain: a wide tube from the flank towards the apex or the base."""
    side = "right" if rng.random() < 0.5 else "left"
    if site.shortcut and int(str(site.record["Pneumothorax"])):
        side = finding_side(site.record, "Pneumothorax", site.seed)
    sign = -1 if side == "right" else 1
    entry, high = rng.uniform(170, 235), rng.random() < 0.7
    if high:  # towards the apex
        knots = [
            (232, entry + 40),
            (196, entry + 22),
            (160, entry),
            (146, 140),
            (124, 88),
            (92, 50),
        ]
    else:
        knots = [(232, entry - 30), (196, entry - 16), (158, entry + 4), (124, 246), (84, 262)]
    places = _near(rng, knots, 4.0)
    curve = course(scene, places * (sign, 1) + (MIDLINE, 0))
    width = rng.uniform(6.0, 8.5) / scene.mm
    canvas.stroke(curve, width, 10.0)
    canvas.stroke(curve, 0.6 * width, -5.0)  # the lumen
    stripe = curve + _normals(curve) * width * rng.choice([-0.28, 0.28])
    dense, hole = rng.uniform(20, 30), max(2, len(stripe) - round(45 / scene.mm / STEP_PX))
    canvas.stroke(stripe[:hole], 1.6 / scene.mm, dense)
    canvas.stroke(stripe[hole + 2 :], 1.6 / scene.mm, dense)  # the gap is the last side hole


LINE_COURSES: Final = {
    "right jugular": ((186.0, -150.0), (193.0, -40.0), (200.0, 30.0), (206.0, 90.0)),
    "right subclavian": ((70.0, 62.0), (118.0, 26.0), (172.0, 38.0), (202.0, 84.0)),
    "left subclavian": ((418.0, 62.0), (372.0, 26.0), (310.0, 42.0), (246.0, 82.0), (212.0, 112.0)),
    "right arm": ((-30.0, 190.0), (10.0, 96.0), (88.0, 36.0), (166.0, 44.0), (203.0, 88.0)),
}
"""Where central venous lines run before the superior vena cava, px of the CT."""


def line(canvas: Canvas, scene: Scene, site: Site, rng: np.random.Generator) -> None:
    """Draw a central venous line from neck, clavicle or arm to the right atrium."""
    name = rng.choice(list(LINE_COURSES), p=(0.45, 0.25, 0.15, 0.15))
    tip = (207.0, rng.uniform(160, 215))
    knots = [*LINE_COURSES[name], (206.0, 0.5 * (110 + tip[1])), tip]
    curve = course(scene, _near(rng, knots, 2.5))
    canvas.stroke(curve, rng.uniform(1.7, 2.6) / scene.mm, rng.uniform(11, 17))


def tube(canvas: Canvas, scene: Scene, site: Site, rng: np.random.Generator) -> None:
    """Draw a breathing tube above the carina, a feeding tube into the stomach, or both."""
    kind = rng.random()
    if kind < 0.8:
        tip = rng.uniform(50, 95)
        knots = [(236.0, -170.0), (238.0, -60.0), (239.0, 20.0), (239.0, tip)]
        curve = course(scene, _near(rng, knots, 1.5))
        width = rng.uniform(8.5, 10.5) / scene.mm
        canvas.stroke(curve, width, 4.0)
        canvas.stroke(curve, 0.7 * width, -4.0)  # the lumen
        edge = curve + _normals(curve) * width * rng.choice([-0.35, 0.35])
        canvas.stroke(edge, 1.2 / scene.mm, rng.uniform(14, 22))
    if kind > 0.45:
        end = rng.uniform(295, 335), rng.uniform(322, 350)
        knots = [(245.0, -170.0), (244.0, 0.0), (248.0, 120.0), (254.0, 220.0), (268.0, 288.0), end]
        curve = course(scene, _near(rng, knots, 2.0))
        canvas.stroke(curve, 3.4 / scene.mm, rng.uniform(7, 11))
        canvas.stroke(curve, 1.0 / scene.mm, rng.uniform(7, 11))


def pacemaker(canvas: Canvas, scene: Scene, site: Site, rng: np.random.Generator) -> None:
    """Draw a pacemaker below the left clavicle, with a lead into each or one right chamber."""
    rng = generator(site.seed, "course", "pacemaker", site.record["patient"])  # it stays in place
    middle = _near(rng, [(378.0, 92.0)], 7.0)
    at = scene.organs.frame_points(middle)[0]
    size, angle = rng.uniform(20, 26) / scene.mm, rng.uniform(-0.4, 0.4)
    turns = np.linspace(0, 2 * np.pi, 41)[:-1]
    round_x, round_y = (np.sign(f) * np.abs(f) ** 0.6 for f in (np.cos(turns), np.sin(turns)))
    case = np.stack([round_x * size, round_y * size * 0.86], axis=-1)
    turned = np.stack(
        [
            np.cos(angle) * case[:, 0] - np.sin(angle) * case[:, 1],
            np.sin(angle) * case[:, 0] + np.cos(angle) * case[:, 1],
        ],
        axis=-1,
    )
    canvas.polygon(at + turned, 70.0)
    canvas.polygon(at + (0, size * 0.12) + 0.62 * turned * (1, 0.9), 60.0)  # the battery
    ends = [[(204.0, 196.0), (226.0, 274.0), (306.0, 288.0)]]
    if rng.random() < 0.6:
        ends.append([(203.0, 184.0), (205.0, 216.0), (218.0, 204.0)])
    x, y = middle[0]
    for end in ends:
        way = [(x - 14, y - 24), (352.0, 50.0), (300.0, 46.0), (240.0, 80.0), (208.0, 116.0)]
        curve = course(scene, _near(rng, [*way, *end], 2.0))
        canvas.stroke(curve, 1.6 / scene.mm, 24.0)
        canvas.stroke(curve[-4:], 2.6 / scene.mm, 22.0)  # the electrode


ELECTRODES: Final = ((126.0, 52.0), (372.0, 50.0), (104.0, 262.0), (398.0, 270.0), (258.0, 176.0))
"""Where electrodes of a monitor are glued, px of the CT."""


def electrodes(canvas: Canvas, scene: Scene, site: Site, rng: np.random.Generator) -> None:
    """Draw three to five electrodes of a monitor, with their cables."""
    count = int(rng.integers(3, 6))
    side = -1 if rng.random() < 0.5 else 1
    leave = np.array([MIDLINE + side * rng.uniform(60, 230), 430.0])
    if rng.random() < 0.6:
        leave = np.array([MIDLINE + side * rng.uniform(90, 170), -110.0])
    for point in _near(rng, ELECTRODES[:count], 11.0):
        middle = 0.5 * (point + leave) + rng.normal(0, 26, 2)
        first = point + 0.2 * (leave - point) + rng.normal(0, 9, 2)
        curve = course(scene, np.stack([point, first, middle, leave + rng.normal(0, 6, 2)]))
        canvas.stroke(curve, 1.3 / scene.mm, 15.0)
        canvas.disc(curve[0], 7.5 / scene.mm, 7.0)
        canvas.disc(curve[0], 2.6 / scene.mm, 42.0)


DEVICES: Final[dict[str, Callable[[Canvas, Scene, Site, np.random.Generator], None]]] = {
    "line": line,
    "tube": tube,
    "electrodes": electrodes,
    "pacemaker": pacemaker,
    "drain": drain,
}
