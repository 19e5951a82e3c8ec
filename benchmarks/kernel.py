"""Quality of Pillow's resize kernels on chest X-rays, against an ideal low-pass filter.

    python benchmarks/kernel.py --images 20        (CXR14_NIH names real files)

The ideal picture keeps what 224 pixels can show and drops the rest: the first 224 × 224 terms of
the discrete cosine transform. Every kernel is linear, so its error splits in two: *alias*, what it
makes of the detail that 224 pixels cannot show (false structure), and *blur*, what it loses of the
detail that they can. Both as root mean square in grey levels, in floating point; PSNR is that of
the rounded picture.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.fft import dctn, idctn

SIZE = 224
Kernel = Callable[[Image.Image], Image.Image]


def resize(name: str, gap: float | None = None) -> Kernel:
    """Return Pillow's resize with a kernel, after a whole-number reduction if `gap` is given."""
    return lambda image: image.resize((SIZE, SIZE), Image.Resampling[name], reducing_gap=gap)


def plain_bilinear(image: Image.Image) -> Image.Image:
    """Interpolate between the four nearest pixels, as OpenCV and torch do by default."""
    step = image.width / SIZE
    matrix = (step, 0, 0, 0, step, 0)
    size = (SIZE, SIZE)
    return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


KERNELS: dict[str, Kernel] = {
    "nearest": resize("NEAREST"),
    "bilinear, not widened": plain_bilinear,
    "box": resize("BOX"),
    "hamming": resize("HAMMING"),
    "bilinear (ours)": resize("BILINEAR"),
    "bilinear, reducing_gap=2": resize("BILINEAR", 2.0),
    "bicubic": resize("BICUBIC"),
    "lanczos": resize("LANCZOS"),
    "lanczos, reducing_gap=2": resize("LANCZOS", 2.0),
}


def split(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split float (H, W) into what SIZE can show and the rest, (H, W), and the ideal (S, S)."""
    terms = dctn(picture, norm="ortho")
    kept = np.zeros_like(terms)
    kept[:SIZE, :SIZE] = terms[:SIZE, :SIZE]
    low = idctn(kept, norm="ortho")
    ideal = idctn(terms[:SIZE, :SIZE], norm="ortho") * SIZE / len(picture)
    return low, picture - low, ideal


def errors(kernel: Kernel, picture: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean squares of error, alias and blur, and the milliseconds that it took."""
    low, high, ideal = split(picture.astype(np.float64))
    image = Image.fromarray(picture)
    start = time.process_time()
    resized = np.asarray(kernel(image), np.float64)
    milliseconds = 1000 * (time.process_time() - start)
    alias, kept = (
        np.asarray(kernel(Image.fromarray(part.astype(np.float32))), np.float64)
        for part in (high, low)
    )
    parts = (((resized - ideal) ** 2).mean(), (alias**2).mean(), ((kept - ideal) ** 2).mean())
    return *map(float, parts), milliseconds


def main(images: int = 20) -> None:
    """Print one row per kernel."""
    files = sorted((Path(os.environ.get("CXR14_NIH", "none")) / "images").glob("*.png"))
    if not files:
        raise SystemExit("error: no real files; name their folder in CXR14_NIH")
    table = Table(title=f"1024 → {SIZE} on {images} real images")
    for heading in ("kernel", "PSNR dB", "alias", "blur", "CPU ms"):
        table.add_column(heading, justify="left" if heading == "kernel" else "right")
    pictures = []
    for path in files[:: max(1, len(files) // images)][:images]:
        with Image.open(path) as file:
            pictures.append(np.asarray(file.convert("RGB").convert("L")))
    for name, kernel in KERNELS.items():
        results = np.array([errors(kernel, picture) for picture in pictures])  # (N, 4)
        error, alias, blur, _ = results.mean(0)
        psnr = 10 * np.log10(255**2 / error)
        milliseconds = np.median(results[:, 3])
        table.add_row(
            name, f"{psnr:.1f}", f"{alias**0.5:.2f}", f"{blur**0.5:.2f}", f"{milliseconds:.1f}"
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
