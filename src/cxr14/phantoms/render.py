"""Rendering of phantom radiographs, as pixels and as an archive in NIH's layout."""

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
from cxr14.phantoms.anatomy import Anatomy, Pose, load_anatomy
from cxr14.phantoms.devices import add_devices
from cxr14.phantoms.findings import DIFFUSE, Lesion, deform_organs, simulate_findings
from cxr14.phantoms.lung_boxes import LungBoxes
from cxr14.phantoms.scene import SIZE, Appearance, build_scene, patient_traits, seeded_rng
from cxr14.phantoms.textures import Floats

Box = tuple[str, float, float, float, float]
"""Finding, x, y, width and height in px of NIH's 1024×1024 images."""
NIH_PX: Final = 1024  # px per side of an image in which boxes are given, whatever its real size


@dataclass(frozen=True)
class RenderSettings:
    """Settings of all phantoms: NIH's boxes, and the block `data.phantom` of params.yaml.

    Attributes:
        boxes: NIH's boxes by finding, from which positions and sizes are sampled.
        size: px per side of an image.
        contrast: factor of the findings' attenuation; 0 hides them.
        shortcut: share of images, 0 to 1, whose drain depends on Pneumothorax.
        seed: combined with the patient and the image.
    """

    boxes: LungBoxes
    size: int
    contrast: float
    shortcut: float
    seed: int


@dataclass(frozen=True)
class Phantom:
    """A simulated radiograph with its ground truth.

    Attributes:
        pixels: uint8 (size, size), bright for high attenuation.
        boxes: a box per lesion; none of DIFFUSE findings.
        masks: bool (SIDE, SIDE) by finding, over the whole image.
        device_masks: bool (SIDE, SIDE) by device.
    """

    pixels: npt.NDArray[np.uint8]
    boxes: list[Box]
    masks: dict[str, npt.NDArray[np.bool_]]
    device_masks: dict[str, npt.NDArray[np.bool_]]


def render(record: Mapping[str, object], anatomy: Anatomy, settings: RenderSettings) -> Phantom:
    """Render a phantom. Equal arguments give equal bytes, in any order and process.

    Args:
        record: image, patient, follow_up, age, sex, view and the 14 finding columns (0 or 1).
        anatomy: the projected layers.
        settings: settings of all phantoms.
    """
    seed, contrast = settings.seed, settings.contrast
    shape, appearance = patient_traits(record, seed)
    deform_organs(shape, record, settings.boxes, contrast, seed)
    view = "AP" if record["view"] == "AP" else "PA"
    pose_rng = seeded_rng(seed, "pose", record["image"])
    scene = build_scene(anatomy, shape, appearance, view, pose_rng)
    device_mm, device_masks = add_devices(scene, record, seed, settings.shortcut)
    lung_markings = appearance.lung_markings * scene.lung_markings
    background = scene.base + scene.heart + lung_markings + device_mm
    lesions = simulate_findings(scene, record, settings.boxes, seed)
    density = background.copy()
    if contrast:
        for lesion in itertools.chain.from_iterable(lesions.values()):
            density += contrast * lesion.density
    noise_rng = seeded_rng(seed, "noise", record["image"])
    return Phantom(
        _to_pixels(background, density, appearance, settings.size, noise_rng),
        _lesion_boxes(lesions),
        _finding_masks(lesions),
        {name: _reduced(mask) for name, mask in device_masks.items()},
    )


def _lesion_boxes(lesions: Mapping[str, Sequence[Lesion]]) -> list[Box]:
    """Return the box around each lesion of the findings that are not diffuse."""
    masks = [
        (finding, lesion.mask)
        for finding, finding_lesions in lesions.items()
        if finding not in DIFFUSE
        for lesion in finding_lesions
    ]
    return [(finding, *_bounding_box(mask)) for finding, mask in masks if mask.any()]


def _bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Return x, y, width and height of a mask (SIZE, SIZE) in px of NIH's images."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    x, right = int(columns[0]), int(columns[-1]) + 1
    y, bottom = int(rows[0]), int(rows[-1]) + 1
    scale = NIH_PX / SIZE
    return x * scale, y * scale, (right - x) * scale, (bottom - y) * scale


def _finding_masks(lesions: Mapping[str, Sequence[Lesion]]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the union of the lesions' masks by finding, (SIDE, SIDE)."""
    return {
        finding: _reduced(np.any([lesion.mask for lesion in finding_lesions], axis=0))
        for finding, finding_lesions in lesions.items()
        if finding_lesions
    }


def _reduced(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Reduce a mask from (SIZE, SIZE) to (SIDE, SIDE): cells that it covers at least by half."""
    cell = SIZE // SIDE
    return np.asarray(mask.reshape(SIDE, cell, SIDE, cell).mean(axis=(1, 3)) >= 0.5)


def _to_pixels(
    background: Floats, density: Floats, appearance: Appearance, size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Convert millimetres of water to grey levels, with noise and a side marker.

    Window and unsharp masking are those of the background, the image without findings. So findings
    change the image at their position only.
    """
    sampled = background[::8, ::8]
    low, high = np.percentile(sampled[sampled > 20], (2, 93))
    width = (high - low) * appearance.window
    centre = 0.5 * (low + high) - appearance.exposure * width
    detail = 0.5 * appearance.detail * (density - _blurred(background))
    tone = (density - centre + detail) / width
    grey = 250 / (1 + np.exp(-4.3 * tone)) + 2
    image = appearance.noise * _noise(size, rng)
    image += _resized(grey, size)
    _add_side_marker(image, rng)
    image += 0.5  # truncation then rounds
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def _add_side_marker(image: Floats, rng: np.random.Generator) -> None:
    """Add the letter L to 70 % of the images, on the patient's left near the upper edge."""
    scale = len(image) / NIH_PX
    has_marker = rng.random() < 0.7
    row, column = (rng.integers((30, 890), (170, 960)) * scale).astype(int)
    if has_marker:
        size = max(8, int(rng.integers(26, 46) * scale))
        letter = np.zeros((size, size // 2), bool)
        letter[:, : size // 7] = letter[-(size // 7) :] = True
        area = image[row : row + size, column : column + size // 2]
        area[letter[:, : area.shape[1]]] = rng.uniform(215, 250)


def _resized(grey: Floats, size: int) -> Floats:
    """Resample an image (SIZE, SIZE) to (size, size)."""
    if size == SIZE:
        return grey
    return np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC))


def _noise(size: int, rng: np.random.Generator) -> Floats:
    """Crop noise of standard deviation 1 at random from a fixed field, faster than new noise."""
    row, column = rng.integers(0, 256, 2)
    return _noise_field(size)[row : row + size, column : column + size]


@lru_cache(maxsize=1)
def _noise_field(size: int) -> Floats:
    return np.random.default_rng(41).standard_normal((size + 256, size + 256), dtype=np.float32)


def _blurred(image: Floats) -> Floats:
    small = Image.fromarray(image).resize((SIZE // 32, SIZE // 32), Image.Resampling.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


# PNG encoder for noisy grey images. Noise has no repeats, so the residuals of filter "average" (PNG
# specification 9.2) are only Huffman-coded. This takes half the time of Pillow's fastest setting
# and two thirds of its bytes. The bytes depend on zlib alone.

_SUB, _AVERAGE = 1, 3  # filter types


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode a grey image, uint8 (height, width), as an 8-bit PNG."""
    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    data = compressor.compress(_filtered(image).data) + compressor.flush()
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _filtered(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the residuals of the prediction from the left and upper pixel, modulo 256.

    Each row starts with its filter type.
    """
    height, width = image.shape
    neighbours = np.zeros((height, width), np.uint16)
    neighbours[:, 1:] = image[:, :-1]
    rows = np.empty((height, width + 1), np.uint8)
    rows[0, 0], rows[1:, 0] = _SUB, _AVERAGE
    rows[0, 1:] = image[0] - neighbours[0].astype(np.uint8)
    neighbours[1:] += image[:-1]
    rows[1:, 1:] = image[1:] - (neighbours[1:] >> 1).astype(np.uint8)
    return rows


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


# Rendering of many phantoms in worker processes, into a tar in NIH's layout.

TASK_IMAGES: Final = 4  # images per task of a worker
_worker_state: dict[str, Any] = {}


class EncodedPhantom(NamedTuple):
    """A phantom as a worker returns it: PNG, boxes, and run lengths of the masks by finding."""

    png: bytes
    boxes: list[Box]
    runs: dict[str, npt.NDArray[np.int32]]


class ArchiveTables(NamedTuple):
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
    settings: RenderSettings,
    workers: int = 0,
    anatomy: Anatomy | None = None,
) -> ArchiveTables:
    """Render every record into an uncompressed tar, which is written atomically.

    Args:
        records: rows of images.parquet (see :func:`render`).
        path: path of the tar; members are ``images/<name>.png``, sorted by name.
        settings: settings of all phantoms.
        workers: processes; 0 means one per core. The bytes do not depend on it.
        anatomy: the projected layers; None projects them, which takes seconds.
    """
    rows = records.sort_values("image").to_dict("records")
    worker_count = min(workers or os.cpu_count() or 1, len(rows))
    phantoms = track(
        _render_rows(rows, settings, worker_count, anatomy or load_anatomy()),
        "phantoms",
        "images",
        total=len(rows),
        transient=True,
    )
    images, boxes, masks = [], [], []
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for row, phantom in zip(rows, phantoms, strict=True):
            name = str(row["image"])
            info = tarfile.TarInfo(f"images/{name}")
            info.size = len(phantom.png)
            tar.addfile(info, io.BytesIO(phantom.png))
            images.append((name, info.name, info.size, hashlib.sha256(phantom.png).hexdigest()))
            boxes += [(name, *box) for box in phantom.boxes]
            masks += [(name, finding, runs) for finding, runs in phantom.runs.items()]
    return ArchiveTables(
        pd.DataFrame(images, columns=["image", "member", "bytes", "sha256"]),
        pd.DataFrame(boxes, columns=["image", "finding", "x", "y", "width", "height"]),
        pd.DataFrame(masks, columns=[*MASK_COLUMNS]),
    )


def _render_rows(
    rows: list[Any], settings: RenderSettings, workers: int, anatomy: Anatomy
) -> Iterator[EncodedPhantom]:
    """Render rows in their order: in this process, or in workers that share one anatomy file."""
    if workers <= 1:
        _worker_state.update(anatomy=anatomy, settings=settings)
        yield from map(_render_row, rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder) / "layers.npy"
        np.save(layers, anatomy.layers)
        arguments = (layers, anatomy.poses, settings)
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_start_worker, initargs=arguments
        ) as pool:
            yield from pool.map(_render_row, rows, chunksize=TASK_IMAGES)


def _start_worker(layers: Path, poses: tuple[Pose, ...], settings: RenderSettings) -> None:
    end_with_parent()
    anatomy = Anatomy(np.load(layers, mmap_mode="r"), poses)
    _worker_state.update(anatomy=anatomy, settings=settings)


def _render_row(row: dict[str, Any]) -> EncodedPhantom:
    phantom = render(row, _worker_state["anatomy"], _worker_state["settings"])
    runs = {finding: encode_mask(mask) for finding, mask in phantom.masks.items()}
    return EncodedPhantom(encode_png(phantom.pixels), phantom.boxes, runs)
