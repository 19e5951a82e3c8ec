"""Draw one phantom radiograph: scene, findings, tone, noise."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr14.data.phantom.anatomy import Anatomy
from cxr14.data.phantom.ct import Floats
from cxr14.data.phantom.findings import Box, added_density, reshape
from cxr14.data.phantom.patient import Look, generator, patient_traits
from cxr14.data.phantom.scene import SIZE, build_scene

PICTURE: Final = 1024  # px per side, as the shipped radiographs


def render(
    record: Mapping[str, object], boxes: Sequence[Box], anatomy: Anatomy, contrast: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Draw one phantom. The same arguments give the same bytes in any order and process.

    Args:
        record: image, patient, follow_up, age, sex, view and the 14 finding columns (0 or 1).
        boxes: (finding, x, y, width, height) in px of the picture.
        anatomy: the projected groups.
        contrast: how plain the findings are; 0 hides them, 1 is the default.
        seed: of all phantoms; patient and image are mixed in.

    Returns:
        uint8 (1024, 1024), bright where much was in the beam's way.
    """
    shape, look = patient_traits(record, seed)
    reshape(shape, record, boxes, contrast, seed)
    view = "AP" if record["view"] == "AP" else "PA"
    scene = build_scene(anatomy, shape, look, view, generator(seed, "pose", record["image"]))
    plain = scene.base + scene.heart + look.marks * scene.marks
    density = plain
    if contrast:
        density = plain + contrast * added_density(scene, record, boxes, seed)
    return _develop(plain, density, look, generator(seed, "noise", record["image"]))


def _develop(
    plain: Floats, density: Floats, look: Look, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Turn millimetres of water into grey, with the window chosen on the plain picture.

    Findings have no part in window and detail, so what they change stays where they are.
    """
    thin = plain[::8, ::8]
    low, high = np.percentile(thin[thin > 20], (2, 93))
    wide = (high - low) * look.window
    centre = 0.5 * (low + high) - look.exposure * wide
    tone = (density - centre + 0.5 * look.detail * (density - _blurred(plain))) / wide
    grey = 250 / (1 + np.exp(-4.3 * tone)) + 2
    large = Image.fromarray(np.rint(grey).astype(np.uint8)).resize(
        (PICTURE, PICTURE), Image.Resampling.BICUBIC
    )
    picture = look.noise * _noise(rng)
    picture += np.asarray(large)
    _mark(picture, rng)
    picture += 0.5  # truncation then rounds
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)


def _mark(picture: Floats, rng: np.random.Generator) -> None:
    """Put the radiographer's L on most pictures: on the patient's left, near the upper edge."""
    shown, row, column = rng.random() < 0.7, *rng.integers((30, 890), (170, 960))
    if shown:
        size = int(rng.integers(26, 46))
        letter = np.zeros((size, size // 2), bool)
        letter[:, : size // 7] = letter[-(size // 7) :] = True
        area = picture[row : row + size, column : column + size // 2]
        area[letter[:, : area.shape[1]]] = rng.uniform(215, 250)


def _noise(rng: np.random.Generator) -> Floats:
    """Cut a random piece of one noise field, deviation 1: far quicker than fresh noise."""
    row, column = rng.integers(0, 256, 2)
    return _noise_field()[row : row + PICTURE, column : column + PICTURE]


@lru_cache(maxsize=1)
def _noise_field() -> Floats:
    size = (PICTURE + 256, PICTURE + 256)
    return np.random.default_rng(41).standard_normal(size, dtype=np.float32)


def _blurred(picture: Floats) -> Floats:
    small = Image.fromarray(picture).resize((SIZE // 32, SIZE // 32), Image.Resampling.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
