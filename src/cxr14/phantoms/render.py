"""Rendering of phantom radiographs, as images and as an archive in NIH's layout."""

import hashlib
import io
import itertools
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxr14.console import track
from cxr14.io import end_with_parent, replacing
from cxr14.masks import COLUMNS as MASK_COLUMNS
from cxr14.masks import SIDE, encode_mask
from cxr14.phantoms.anatomy import Anatomy, Floats, Pose, load_anatomy
from cxr14.phantoms.devices import add_devices
from cxr14.phantoms.findings import DIFFUSE, Drawn, draw, reshape
from cxr14.phantoms.places import Places
from cxr14.phantoms.scene import SIZE, Look, build_scene, generator, patient_traits

Box = tuple[str, float, float, float, float]
"""Finding, x, y, width and height in px of NIH's 1024×1024 images."""
GRID_PX: Final = 1024  # of the boxes, whatever the size of the picture


@dataclass(frozen=True)
class Drawing:
    """How phantoms are drawn: the block `data.phantom` of params.yaml, and the places of findings.

    Attributes:
        places: of NIH's boxes.
        size: px per side of a picture.
        contrast: of the findings; 0 hides them, 1 is the default.
        shortcut: how far drains go with Pneumothorax, 0 to 1.
        seed: of all phantoms, mixed with patient and image.
    """

    places: Places
    size: int
    contrast: float
    shortcut: float
    seed: int


@dataclass(frozen=True)
class Phantom:
    """A simulated radiograph, and where its findings and devices are.

    Attributes:
        picture: uint8 (size, size), bright for high attenuation.
        boxes: of each lesion of the findings with an extent.
        masks: bool (SIDE, SIDE) of each finding, over the whole picture.
        devices: same, of each device; at least half of a cell is covered.
    """

    picture: npt.NDArray[np.uint8]
    boxes: list[Box]
    masks: dict[str, npt.NDArray[np.bool_]]
    devices: dict[str, npt.NDArray[np.bool_]]


def render(record: Mapping[str, object], anatomy: Anatomy, drawing: Drawing) -> Phantom:
    """Render one phantom. The same arguments give the same bytes in any order and process.

    Args:
        record: image, patient, follow_up, age, sex, view and the 14 finding columns (0 or 1).
        anatomy: the projected groups.
        drawing: how to draw.
    """
    seed, contrast = drawing.seed, drawing.contrast
    shape, look = patient_traits(record, seed)
    reshape(shape, record, drawing.places, contrast, seed)
    view = "AP" if record["view"] == "AP" else "PA"
    scene = build_scene(anatomy, shape, look, view, generator(seed, "pose", record["image"]))
    water_mm, devices = add_devices(scene, record, seed, drawing.shortcut)
    plain = scene.base + scene.heart + look.marks * scene.marks + water_mm
    drawn = draw(scene, record, drawing.places, seed)
    density = plain.copy()
    if contrast:
        for part in itertools.chain.from_iterable(drawn.values()):
            density += contrast * part.density
    picture = _develop(
        plain, density, look, drawing.size, generator(seed, "noise", record["image"])
    )
    masks = {
        name: halved(np.any([part.mask for part in parts], axis=0))
        for name, parts in drawn.items()
        if parts
    }
    device_masks = {name: halved(mask) for name, mask in devices.items()}
    return Phantom(picture, _boxes_of(drawn), masks, device_masks)


def _boxes_of(drawn: Mapping[str, Sequence[Drawn]]) -> list[Box]:
    """Return the box around each lesion of the findings with an extent."""
    masks = [
        (finding, part.mask)
        for finding, parts in drawn.items()
        if finding not in DIFFUSE
        for part in parts
    ]
    return [(finding, *_extent(mask)) for finding, mask in masks if mask.any()]


def _extent(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Return x, y, width and height of a mask (SIZE, SIZE) in px of NIH's images."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    (x, right), (y, bottom) = ((int(ends[0]), int(ends[-1]) + 1) for ends in (columns, rows))
    scale = GRID_PX / SIZE
    return x * scale, y * scale, (right - x) * scale, (bottom - y) * scale


def halved(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Reduce a mask (SIZE, SIZE) to (SIDE, SIDE): cells with at least half of their pixels."""
    cell = SIZE // SIDE
    return np.asarray(mask.reshape(SIDE, cell, SIDE, cell).mean(axis=(1, 3)) >= 0.5)


def _develop(
    plain: Floats, density: Floats, look: Look, size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Convert millimetres of water to grey, with the window of the image without findings.

    So findings change the image at their position only.
    """
    thin = plain[::8, ::8]
    low, high = np.percentile(thin[thin > 20], (2, 93))
    wide = (high - low) * look.window
    centre = 0.5 * (low + high) - look.exposure * wide
    tone = (density - centre + 0.5 * look.detail * (density - _blurred(plain))) / wide
    grey = 250 / (1 + np.exp(-4.3 * tone)) + 2
    picture = look.noise * _noise(size, rng)
    picture += resized(grey, size)
    _mark(picture, rng)
    picture += 0.5  # truncation then rounds
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)


def _mark(picture: Floats, rng: np.random.Generator) -> None:
    """Add the marker L to 70 % of the images, on the patient's left near the upper edge."""
    scale = len(picture) / GRID_PX
    marked, row, column = (
        rng.random() < 0.7,
        *(rng.integers((30, 890), (170, 960)) * scale).astype(int),
    )
    if marked:
        size = max(8, int(rng.integers(26, 46) * scale))
        letter = np.zeros((size, size // 2), bool)
        letter[:, : size // 7] = letter[-(size // 7) :] = True
        area = picture[row : row + size, column : column + size // 2]
        area[letter[:, : area.shape[1]]] = rng.uniform(215, 250)


def resized(grey: Floats, size: int) -> Floats:
    """Resample a picture (SIZE, SIZE) to (size, size)."""
    if size == SIZE:
        return grey
    return np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC))


def _noise(size: int, rng: np.random.Generator) -> Floats:
    """Crop a random piece of one noise field of deviation 1, faster than new noise."""
    row, column = rng.integers(0, 256, 2)
    return _noise_field(size)[row : row + size, column : column + size]


@lru_cache(maxsize=1)
def _noise_field(size: int) -> Floats:
    return np.random.default_rng(41).standard_normal((size + 256, size + 256), dtype=np.float32)


def _blurred(picture: Floats) -> Floats:
    small = Image.fromarray(picture).resize((SIZE // 32, SIZE // 32), Image.Resampling.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


# PNG writer for noisy grey images. Noise has no repeats, so the residuals of filter "average" (PNG
# specification 9.2) are only Huffman-coded: half the time of Pillow's fastest setting and two
# thirds of its bytes. The bytes depend on zlib alone.

_SUB, _AVERAGE = 1, 3  # filter types


def encode(picture: npt.NDArray[np.uint8]) -> bytes:
    """Encode a grey image, uint8 (height, width), as an 8-bit PNG."""
    height, width = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    pixels = packer.compress(_filtered(picture).data) + packer.flush()
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _filtered(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the residuals of prediction from the left and upper neighbours, modulo 256."""
    height, width = picture.shape
    left = np.zeros((height, width), np.uint16)
    left[:, 1:] = picture[:, :-1]
    rows = np.empty((height, width + 1), np.uint8)
    rows[0, 0], rows[1:, 0] = _SUB, _AVERAGE
    rows[0, 1:] = picture[0] - left[0].astype(np.uint8)
    left[1:] += picture[:-1]
    rows[1:, 1:] = picture[1:] - (left[1:] >> 1).astype(np.uint8)
    return rows


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


# Rendering of many phantoms in processes, into one tar in NIH's layout.

CHUNK = 4  # images per task of a worker
_state: dict[str, Any] = {}


Written = tuple[bytes, list[Box], dict[str, npt.NDArray[np.int32]]]
"""A PNG, the boxes, and the run lengths of the masks."""


class Listings(NamedTuple):
    """Tables of an archive of phantoms.

    Attributes:
        images: image, member, bytes, sha256 of each PNG, sorted by image.
        boxes: image, finding, x, y, width, height in px of NIH's 1024×1024 images.
        masks: image, finding, runs; see :mod:`cxr14.masks`.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    masks: pd.DataFrame


def render_archive(
    records: pd.DataFrame,
    path: Path,
    drawing: Drawing,
    workers: int = 0,
    anatomy: Anatomy | None = None,
) -> Listings:
    """Render every row of ``records`` into one uncompressed tar, written atomically.

    Args:
        records: rows of images.parquet (see :func:`render`).
        path: path of the tar; members are ``images/<name>.png``, sorted by name.
        drawing: how to draw.
        workers: processes; 0 means one per core. The bytes do not depend on it.
        anatomy: the projected groups; None projects them, which takes seconds.
    """
    rows = records.sort_values("image").to_dict("records")
    phantoms = _rendered(rows, drawing, workers or os.cpu_count() or 1, anatomy or load_anatomy())
    images, boxes, masks = [], [], []
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for row, (content, drawn_boxes, runs) in zip(rows, phantoms, strict=True):
            name = str(row["image"])
            info = tarfile.TarInfo(f"images/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            images.append((name, info.name, len(content), hashlib.sha256(content).hexdigest()))
            boxes += [(name, *box) for box in drawn_boxes]
            masks += [(name, finding, lengths) for finding, lengths in runs.items()]
    return Listings(
        pd.DataFrame(images, columns=["image", "member", "bytes", "sha256"]),
        pd.DataFrame(boxes, columns=["image", "finding", "x", "y", "width", "height"]),
        pd.DataFrame(masks, columns=[*MASK_COLUMNS]),
    )


def _rendered(
    rows: list[Any], drawing: Drawing, workers: int, anatomy: Anatomy
) -> Iterator[Written]:
    """Yield the phantoms in the order of the rows, with a progress bar."""
    phantoms = _mapped(rows, drawing, min(workers, len(rows)), anatomy)
    yield from track(phantoms, "phantoms", "images", total=len(rows), transient=True)


def _mapped(rows: list[Any], drawing: Drawing, workers: int, anatomy: Anatomy) -> Iterator[Written]:
    """Render in this process, or in processes that map one file of the anatomy."""
    if workers <= 1:
        _state.update(anatomy=anatomy, drawing=drawing)
        yield from map(_draw, rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder) / "layers.npy"
        np.save(layers, anatomy.layers)
        shared = (layers, anatomy.poses, drawing)
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_open, initargs=shared
        ) as pool:
            yield from pool.map(_draw, rows, chunksize=CHUNK)


def _open(layers: Path, poses: tuple[Pose, ...], drawing: Drawing) -> None:
    end_with_parent()
    _state.update(anatomy=Anatomy(np.load(layers, mmap_mode="r"), poses), drawing=drawing)


def _draw(row: dict[str, Any]) -> Written:
    phantom = render(row, _state["anatomy"], _state["drawing"])
    runs = {finding: encode_mask(mask) for finding, mask in phantom.masks.items()}
    return encode(phantom.picture), phantom.boxes, runs
