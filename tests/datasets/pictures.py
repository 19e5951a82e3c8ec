"""Small pictures, folders and archives for the tests of this room."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def encode(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def noise(seed: int, height: int = 40, width: int = 40) -> Image.Image:
    """A grey picture (mode L) like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return Image.fromarray(pixels)


def some_pngs(count: int) -> dict[str, bytes]:
    """Pictures by the names that NIH gives, not all of them square."""
    return {f"{n:08d}_000.png": encode(noise(n, 40, 36 + 4 * (n % 2))) for n in range(1, count + 1)}


def write_loose(folder: Path, pngs: dict[str, bytes]) -> None:
    """Write pictures as files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pngs.items():
        (folder / name).write_bytes(content)


def write_archive(path: Path, pngs: dict[str, bytes]) -> None:
    """Write pictures into a tar in NIH's layout, compressed if its name ends in .gz, or a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in pngs.items():
                packed.writestr(f"images/{name}", content)
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in pngs.items():
            member = tarfile.TarInfo(f"images/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
