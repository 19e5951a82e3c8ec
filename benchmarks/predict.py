"""Benchmark of `cxr14 predict`: start to first result, and a folder against the bare forward pass.

    python benchmarks/predict.py --rounds 5         (in a repository where the pipeline has run)

Bare: forward passes of a batch of 64 that is prepared already. Decode: the files read and decoded
in threads, without a network. Predict: files to calibrated results. Rounds interleave the three.
On a CPU, decoding and the network share the cores: the least time of an image is the sum of both
(`bound`). On a GPU it is the longer of both. Targets: .9 of the bound, and a first result within a
second of the imports of torch.
"""

import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import typer
from rich.console import Console
from rich.table import Table

from cxr14.numerics import set_environment
from cxr14.project import project_root
from cxr14.serving.models import ModelFiles, model_files

set_environment("portable")

import torch  # noqa: E402

from cxr14.models.inference import deterministic_inference, prepare  # noqa: E402
from cxr14.serving.description import read_serving  # noqa: E402
from cxr14.serving.files import read_files  # noqa: E402
from cxr14.serving.input_check import InputCheck  # noqa: E402
from cxr14.serving.predictor import BATCH, Predictor  # noqa: E402
from cxr14.serving.results import score_files  # noqa: E402

BACKBONES = ("alexnet", "googlenet", "vgg16", "resnet50", "densenet121")


def rate(count: int, work: Callable[[], object]) -> float:
    """Return images per second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def measure(found: ModelFiles, files: list[str], rounds: int) -> dict[str, float]:
    """Return median images per second of the three."""
    predictor = Predictor.load(found.folders, found.decision, read_serving(found.description))
    check = InputCheck.load(found.input_check)
    (network, model), size = predictor.members[0], predictor.description.cached_size

    def decode() -> None:
        for _ in read_files(files, size):
            pass

    def predict() -> None:
        for _ in score_files(predictor, check, read_files(files, size), force=True):
            pass

    with deterministic_inference(network) as device, torch.inference_mode():
        pixels = torch.randint(0, 256, (BATCH, size, size), dtype=torch.uint8, device=device)
        batch = prepare(pixels, model["input_size"])

        def bare() -> None:
            for _ in range(0, len(files), BATCH):
                network(batch)
            if device == "cuda":
                torch.cuda.synchronize()

        whole = -(-len(files) // BATCH) * BATCH
        bare()
        rounds_of = [
            (rate(whole, bare), rate(len(files), decode), rate(len(files), predict))
            for _ in range(rounds)
        ]
    medians = map(median, zip(*rounds_of, strict=True))
    middle = dict(zip(("bare", "decode", "predict"), medians, strict=True))
    costs = 1 / middle["bare"], 1 / middle["decode"]
    return middle | {"bound": 1 / (sum(costs) if device == "cpu" else max(costs))}


def seconds(*words: str) -> float:
    """Time a command in a process of its own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def main(images: int = 320, rounds: int = 3, backbones: str = ",".join(BACKBONES)) -> None:
    """Run the benchmark on images of the pipeline's first archive."""
    root = project_root()
    archive = min((root / "data/raw/archives").glob("*.tar"))
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.endswith(".png")]
        tar.extractall(folder, members[:images], filter="data")
        files = sorted(map(str, Path(folder).rglob("*.png")))
        table = Table("backbone", "bare /s", "decode /s", "bound /s", "predict /s", "of bound")
        for name in backbones.split(","):
            found = measure(model_files(name, root / "models" / name), files, rounds)
            cells = (f"{found[key]:.0f}" for key in ("bare", "decode", "bound", "predict"))
            table.add_row(name, *cells, f"{found['predict'] / found['bound']:.2f}")
        Console().print(table)
        command = "-m", "cxr14.cli", "predict", files[0]
        starts = [(seconds("-c", "import torch"), seconds(*command)) for _ in range(2 * rounds)]
    torch_start, first = (min(column) for column in zip(*starts, strict=True))
    print(
        f"import torch {torch_start:.2f} s, first result {first:.2f} s (fastest of {len(starts)})"
    )


if __name__ == "__main__":
    typer.run(main)
