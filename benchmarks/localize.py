"""Benchmark of heatmaps against pytorch-grad-cam, on the same networks and images.

    pip install -e '.[bench]'
    python benchmarks/localize.py                                 (all five backbones, minutes)
    python benchmarks/localize.py --backbones resnet50 --images 4 --blocks 3

Both compute eight maps per image at the size of the image, each scaled by its own
range. Ours is `raw_heatmaps` as the stage calls it, then upsampling and scaling. Theirs is called
once per finding, as its documentation has it, on the same batches, with the transition as target
layer; "backbone frozen" skips the backward pass of the backbone. Functions
take turns in blocks; ratios are medians of the blocks' ratios. Targets: at least 5 times GradCAM
with Grad-CAM, 8 times with CAM, and the same maps to 1e-4 of their range.

Networks are those of models/ where they are, else random; images are those of data/cache,
else noise (of 224 px): neither changes the work. CAM is compared after a ReLU, with GradCAM. To a
denominator of Grad-CAM++ that is about 1e-6 for average pooling theirs adds 1e-6 (its issue 236):
ours is compared with the same added, and in brackets as it is.
"""

import importlib.util
import statistics
import time
from pathlib import Path

import numpy as np
import rich
import typer
from _localize_peers import RIVALS, Images, Way, differences, ours, theirs
from rich.console import Console
from rich.table import Table

from cxr14.labels import BOXED
from cxr14.models.backbones import STUDIED
from cxr14.models.network import Network, build_network
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache

FROZEN = "GradCAM, backbone frozen"
TARGETS = {"gradcam": 5, "cam": 8}
TOLERANCE = 1e-4
HAVE_THEIRS = importlib.util.find_spec("pytorch_grad_cam") is not None


def find_images(count: int) -> tuple[Images, str]:
    """Return cached images, evenly spaced, or noise; and a description."""
    if Path("data/cache/index.parquet").exists():
        images, _ = open_cache("data/cache")
        return np.array(images[:: max(1, len(images) // count)][:count]), "cached images"
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count, 224, 224), dtype=np.uint8), "images of noise"


def find_network(backbone: str) -> tuple[Network, str]:
    """Return the trained network, or one with random weights; and which of the two."""
    if Path(f"models/{backbone}/model.json").exists():
        return load_model(f"models/{backbone}")[0], "trained"
    return build_network(backbone, 256, "avg", 10.0, seed=1).eval(), "random"


def measure(ways: dict[str, Way], blocks: int, maps: int) -> dict[str, list[float]]:
    """Return heatmaps per second, block by block; the first block warms up."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for block in range(blocks + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if block:
                rates[name].append(maps / (time.perf_counter() - start))
    return rates


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Divide block by block."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: list[float]) -> str:
    """Format the median and the range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def compare(backbone: str, images: Images, blocks: int, batch_size: int, table: Table) -> bool:
    """Measure one backbone, add its rows, and return whether the targets hold."""
    network, weights = find_network(backbone)
    job = (network, images)
    methods = [name for name in RIVALS if name != "cam" or network.pooling == "avg"]
    ways = {method: ours(*job, method, batch_size) for method in methods}
    if HAVE_THEIRS:
        for name in sorted(set(RIVALS.values())):
            ways[name] = theirs(*job, name, batch_size, frozen=False)
        ways[FROZEN] = theirs(*job, "GradCAM", batch_size, frozen=True)
    rates = measure(ways, blocks, len(images) * len(BOXED))
    holds = True
    for method in methods:
        cells = [f"{backbone} ({weights})", method, spread(rates[method])]
        if HAVE_THEIRS:
            rival = rates[RIVALS[method]]
            gain, gain_frozen = (ratios(rates[method], rate) for rate in (rival, rates[FROZEN]))
            same_epsilon, as_published = differences(*job, method, batch_size)
            difference = f"{same_epsilon:.0e}" + (
                f" ({as_published:.0e})" if method == "gradcam_pp" else ""
            )
            cells += [*map(spread, (rival, gain, gain_frozen)), difference]
            fast = statistics.median(gain) >= TARGETS.get(method, 0)
            holds &= fast and same_epsilon <= TOLERANCE
        table.add_row(*cells)
    return holds


def main(
    images: int = 2, blocks: int = 3, batch_size: int = 8, backbones: str = ",".join(STUDIED)
) -> None:
    """Measure and print; ends with 1 if a target is missed."""
    rich.get_console().quiet = True  # the progress bars of raw_heatmaps
    pixels, kind = find_images(images)
    job = f"{len(pixels)} {kind} × {len(BOXED)} findings, batch {batch_size}"
    table = Table(title=f"Heatmaps per second: {job}, {blocks} blocks in turn, median (range)")
    for heading in (
        "backbone", "method", "ours", "grad-cam", "ratio", f"to {FROZEN}", "largest difference",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("backbone", "method") else "right")
    holds = [compare(name, pixels, blocks, batch_size, table) for name in backbones.split(",")]
    Console(width=150).print(table)
    if not HAVE_THEIRS:
        print("left out, grad-cam is missing: uv pip install grad-cam  (group bench)")
        return
    wanted = ", ".join(f"{method} ≥ {ratio} ×" for method, ratio in TARGETS.items())
    print(f"{'holds' if all(holds) else 'FAILS'}: {wanted} GradCAM; same maps to {TOLERANCE:g}")
    raise SystemExit(0 if all(holds) else 1)


if __name__ == "__main__":
    typer.run(main)
