"""A patient's traits: shape and look. Follow-ups share them; a small wobble is the image's own."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator that depends on the seed and the names only, never on call order."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


@dataclass
class Shape:
    """Where things lie and how large they are. Global findings change it.

    Attributes:
        zoom: (x, y) px of the CT per px of the frame.
        shift: (x, y) px of the CT by which the frame's middle is moved.
        turn: in-plane rotation in degrees.
        wobble: (2, 6, 6) smooth displacement in px of the CT.
        raised: px by which the (right, left) dome stands higher.
        heart: (width, height) relative to the CT's heart.
        heart_box: (x, y, width, height) in frame px that the heart must fill, or None.
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
    """Weights of the groups and tone of the picture."""

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
    """Draw the traits of a patient, moved a little by the image and set for the view."""
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
