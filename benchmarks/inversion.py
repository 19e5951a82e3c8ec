"""Rates of the remark "inverted" on real images, their negatives, and distorted copies of both.

    python benchmarks/inversion.py        (CXR14_NIH names real files)

Every distortion is applied to the original (a remark is a false alarm) and to its negative (a
remark is right). Beside it the earlier rule: lungs more than 10 grey levels brighter than the strip
between them, nothing else.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from cxr14.preprocessing.decode import decode
from cxr14.preprocessing.photometry import INVERTED, remarks_on

Picture = npt.NDArray[np.uint8]
SIDE = 256
"""Pixels per side at which the images are distorted."""


def rotate(degrees: float, fill: int = 0) -> Callable[[Picture], Picture]:
    """Rotate about the centre; the corners are filled."""
    bilinear = Image.Resampling.BILINEAR
    return lambda x: np.asarray(Image.fromarray(x).rotate(degrees, bilinear, fillcolor=fill))


def crop(top: float, bottom: float, left: float, right: float) -> Callable[[Picture], Picture]:
    """Cut out a rectangle, in shares of the sides."""
    return lambda x: x[
        round(top * len(x)) : round(bottom * len(x)), round(left * len(x)) : round(right * len(x))
    ]


def shutter(
    top: float, bottom: float, left: float, right: float, fill: int
) -> Callable[[Picture], Picture]:
    """Cover the margins, in shares of the sides."""

    def covered(x: Picture) -> Picture:
        kept = np.full_like(x, fill)
        rows = slice(round(top * len(x)), len(x) - round(bottom * len(x)))
        columns = slice(round(left * len(x)), len(x) - round(right * len(x)))
        kept[rows, columns] = x[rows, columns]
        return kept

    return covered


def frame(share: float, fill: int) -> Callable[[Picture], Picture]:
    """Add a margin on all sides."""
    return lambda x: np.pad(x, round(share * len(x)), constant_values=fill)


def levels(
    change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Callable[[Picture], Picture]:
    """Change grey levels, given as 0 to 1."""
    return lambda x: (255 * change(x / 255).clip(0, 1)).astype(np.uint8)


def resize(width: int, height: int) -> Callable[[Picture], Picture]:
    """Stretch."""
    return lambda x: np.asarray(Image.fromarray(x).resize((width, height)))


DISTORTIONS: dict[str, Callable[[Picture], Picture]] = {
    "none": lambda x: x,
    "mirrored": lambda x: x[:, ::-1],
    "rotated by 15°": rotate(15),
    "rotated by 30°, black corners": rotate(30),
    "rotated by -30°, white corners": rotate(-30, 255),
    "rotated by 45°": rotate(45),
    "rotated by 90°": lambda x: np.rot90(x),
    "rotated by 120°": rotate(120),
    "rotated by 180°": lambda x: np.rot90(x, 2),
    "rotated by 270°": lambda x: np.rot90(x, 3),
    "left half": crop(0, 1, 0, 0.5),
    "right half": crop(0, 1, 0.5, 1),
    "upper half": crop(0, 0.5, 0, 1),
    "lower half": crop(0.5, 1, 0, 1),
    "central two thirds": crop(1 / 6, 5 / 6, 1 / 6, 5 / 6),
    "upper left corner": crop(0, 0.58, 0, 0.58),
    "one lung alone": crop(0.18, 0.67, 0.09, 0.54),
    "black frame": frame(0.25, 0),
    "white frame": frame(0.25, 255),
    "grey frame": frame(0.25, 90),
    "black border": shutter(0.1, 0.15, 0.2, 0.1, 0),
    "white border": shutter(0.15, 0.05, 0.1, 0.2, 255),
    "black shutters at both sides": shutter(0, 0, 0.3, 0.3, 0),
    "white shutters at both sides": shutter(0, 0, 0.3, 0.3, 255),
    "black shutters below and left": shutter(0, 0.3, 0.25, 0, 0),
    "white shutters below and right": shutter(0, 0.3, 0, 0.3, 255),
    "dark shutter above": shutter(0.35, 0, 0, 0.1, 10),
    "low exposure": levels(lambda v: 0.25 * v + 0.03),
    "high exposure": levels(lambda v: 0.3 * v + 0.7),
    "gamma 0.4": levels(lambda v: v**0.4),
    "gamma 2.5": levels(lambda v: v**2.5),
    "gamma 4": levels(lambda v: v**4),
    "saturated": levels(lambda v: 2.2 * v - 0.6),
    "central strip, stretched": lambda x: resize(SIDE, SIDE)(crop(0, 1, 0.31, 0.69)(x)),
    "narrowed": resize(SIDE * 5 // 9, SIDE),
}


def earlier_rule(picture: Picture) -> bool:
    """Whether the lungs are brighter than the strip between them."""
    height, width = picture.shape
    upper = picture[height // 4 : height * 5 // 8]
    lungs = upper[:, width * 3 // 16 : width * 3 // 8], upper[:, width * 5 // 8 : width * 13 // 16]
    middle = picture[height // 4 : height * 3 // 4, width * 7 // 16 : width * 9 // 16]
    return bool(np.mean([lung.mean() for lung in lungs]) - middle.mean() > INVERTED)


def read_images() -> list[Picture]:
    """Read the real images, at SIDE pixels."""
    folder = Path(os.environ.get("CXR14_NIH", "none")) / "images"
    files = sorted(folder.glob("*.png"))
    if not files:
        raise SystemExit("error: no real files (CXR14_NIH)")
    pixels = (decode(path.read_bytes(), path.name).pixels for path in files)
    return [np.asarray(Image.fromarray(image).reduce(len(image) // SIDE)) for image in pixels]


def main() -> None:
    """Measure and print."""
    images = read_images()
    table = Table(title=f"named as inverted, of {len(images)} each")
    for heading in (
        "distortion",
        "originals",
        "negatives",
        "originals, earlier",
        "negatives, earlier",
    ):
        table.add_column(heading, justify="left" if heading == "distortion" else "right")
    lost = 0
    for name, distort in DISTORTIONS.items():
        pairs = [
            (np.ascontiguousarray(distort(image)), np.ascontiguousarray(distort(255 - image)))
            for image in images
        ]
        now = np.array([["inverted" in remarks_on(image) for image in pair] for pair in pairs])
        earlier = np.array([[earlier_rule(image) for image in pair] for pair in pairs])
        counts = (*now.sum(0), *earlier.sum(0))
        table.add_row(name, *(str(count) for count in counts))
        if name == "none":
            lost = int((earlier[:, 1] & ~now[:, 1]).sum())
    Console(width=110).print(table)
    print(f"negatives without distortion that the earlier rule names and this one does not: {lost}")


if __name__ == "__main__":
    typer.run(main)
