"""Rendering of phantom radiographs, as images and as an archive in NIH's layout."""

import hashlib
import io
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxr14.console import track
from cxr14.io import end_with_parent, replacing
from cxr14.phantoms.anatomy import Anatomy, Floats, Pose, load_anatomy
from cxr14.phantoms.findings import Box, added_density, reshape
from cxr14.phantoms.scene import SIZE, Look, build_scene, generator, patient_traits

PICTURE: Final = 1024  # px per side, as in NIH's set


def render(
    record: Mapping[str, object], boxes: Sequence[Box], anatomy: Anatomy, contrast: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Render one phantom. The same arguments give the same bytes in any order and process.

    Args:
        record: image, patient, follow_up, age, sex, view and the 14 finding columns (0 or 1).
        boxes: (finding, x, y, width, height) in px of the image.
        anatomy: the projected groups.
        contrast: contrast of the findings; 0 hides them, 1 is the default.
        seed: seed of all phantoms, mixed with patient and image.

    Returns:
        uint8 (1024, 1024), bright for high attenuation.
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
    """Convert millimetres of water to grey, with the window of the image without findings.

    So findings change the image at their position only.
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
    """Add the marker L to 70 % of the images, on the patient's left near the upper edge."""
    marked, row, column = rng.random() < 0.7, *rng.integers((30, 890), (170, 960))
    if marked:
        size = int(rng.integers(26, 46))
        letter = np.zeros((size, size // 2), bool)
        letter[:, : size // 7] = letter[-(size // 7) :] = True
        area = picture[row : row + size, column : column + size // 2]
        area[letter[:, : area.shape[1]]] = rng.uniform(215, 250)


def _noise(rng: np.random.Generator) -> Floats:
    """Crop a random piece of one noise field of deviation 1, faster than new noise."""
    row, column = rng.integers(0, 256, 2)
    return _noise_field()[row : row + PICTURE, column : column + PICTURE]


@lru_cache(maxsize=1)
def _noise_field() -> Floats:
    size = (PICTURE + 256, PICTURE + 256)
    return np.random.default_rng(41).standard_normal(size, dtype=np.float32)


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


def render_archive(
    records: pd.DataFrame,
    boxes: pd.DataFrame,
    path: Path,
    contrast: float,
    seed: int,
    workers: int = 0,
    anatomy: Anatomy | None = None,
) -> pd.DataFrame:
    """Render every row of ``records`` into one uncompressed tar, written atomically.

    Args:
        records: rows of images.parquet (see :func:`cxr14.phantoms.render.render`).
        boxes: image, finding, x, y, width, height in px of the 1024×1024 image.
        path: path of the tar; members are ``images/<name>.png``, sorted by name.
        contrast: contrast of the findings; 0 hides them.
        seed: seed of all phantoms.
        workers: processes; 0 means one per core. The bytes do not depend on it.
        anatomy: the projected groups; None projects them, which takes seconds.

    Returns:
        image, member, bytes, sha256 of each PNG, sorted by image.
    """
    rows = records.sort_values("image").to_dict("records")
    by_image: dict[str, list[Box]] = {}
    columns = ["image", "finding", "x", "y", "width", "height"]
    for image, finding, x, y, width, height in boxes[columns].itertuples(index=False, name=None):
        by_image.setdefault(image, []).append((finding, x, y, width, height))
    jobs = [(row, by_image.get(str(row["image"]), []), contrast, seed) for row in rows]
    pictures = _rendered(jobs, workers or os.cpu_count() or 1, anatomy or load_anatomy())
    table = []
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for row, content in zip(rows, pictures, strict=True):
            member = f"images/{row['image']}"
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            table.append((row["image"], member, len(content), hashlib.sha256(content).hexdigest()))
    return pd.DataFrame(table, columns=["image", "member", "bytes", "sha256"])


def _rendered(jobs: list[Any], workers: int, anatomy: Anatomy) -> Iterator[bytes]:
    """Yield the PNGs in the order of the jobs, with a progress bar."""
    contents = _mapped(jobs, min(workers, len(jobs)), anatomy)
    yield from track(contents, "phantoms", "images", total=len(jobs), transient=True)


def _mapped(jobs: list[Any], workers: int, anatomy: Anatomy) -> Iterator[bytes]:
    """Render in this process, or in processes that map one file of the anatomy."""
    if workers <= 1:
        _state["anatomy"] = anatomy
        yield from map(_draw, jobs)
        return
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder) / "layers.npy"
        np.save(layers, anatomy.layers)
        shared = (layers, anatomy.poses)
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_open, initargs=shared
        ) as pool:
            yield from pool.map(_draw, jobs, chunksize=CHUNK)


def _open(layers: Path, poses: tuple[Pose, ...]) -> None:
    end_with_parent()
    _state["anatomy"] = Anatomy(np.load(layers, mmap_mode="r"), poses)


def _draw(job: tuple[dict[str, Any], list[Box], float, int]) -> bytes:
    row, boxes, contrast, seed = job
    return encode(render(row, boxes, _state["anatomy"], contrast, seed))
