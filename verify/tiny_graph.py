"""Run a tiny graph in one process, and hash every file that it writes.

    python -m verify.tiny_graph FOLDER [--worker COMMAND]

Phantoms, cache, an epoch of each backbone at 32 or 64 px, predictions, scores, heatmaps,
comparisons, pictures; no MLflow, no augmentation. Reads params.yaml of the working directory.

Writes all outputs to FOLDER, and their SHA-256 by path to FOLDER/hashes.json.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import spawn
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer
from ruamel.yaml import YAML
from torch import Tensor

from cxr14.config.reader import read_yaml
from cxr14.io import sha256, write_json
from cxr14.tracking import runs
from cxr14.training import engine
from stages import (
    baseline,
    compare,
    download,
    eda,
    evaluate,
    localize_iobb,
    patient_split,
    preprocess,
    pretrained,
    report,
    sheets,
    train,
)

HASHES = "hashes.json"
PHANTOMS, CACHED = 60, 64
ALEXNET = {"input_size": 64}  # it has no maps of smaller images
TRAIN = {"epochs": 1, "input_size": 32, "batch_size": 8, "overrides": {"alexnet": ALEXNET}}


def main(
    folder: Path,
    worker: Annotated[
        str | None, typer.Option(help="Python of worker processes; this one by default.")
    ] = None,
) -> None:
    """Run the stages, and write the hashes."""
    params = shrink(read_yaml("params.yaml"))
    folder.mkdir(parents=True)
    os.chdir(folder)
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    if worker:
        spawn.set_executable(worker)
    with patch.object(runs, "start_run", return_value=None), patch.object(engine, "augment", still):
        for name, stage in steps(params["train"]["backbones"]):
            start = time.monotonic()
            stage()
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    files = (path for path in sorted(Path().rglob("*")) if path.is_file())
    write_json(HASHES, {str(path): sha256(path) for path in files})


def still(grey: Tensor, _: Tensor) -> Tensor:
    """Return training images unchanged: torch's grid_sample crashes under qemu, see verify.cpus."""
    return grey


def shrink(params: dict[str, Any]) -> dict[str, Any]:
    """Return params of seconds: few phantoms, small images, one epoch of every backbone."""
    params["data"] |= {"source": "phantom"}
    params["data"]["phantom"] |= {"images": PHANTOMS}
    params["preprocess"] |= {"size": CACHED}
    params["train"] |= TRAIN
    return params


def steps(backbones: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the stages of dvc.yaml in an order of the graph, by name."""
    for first in (download, patient_split, preprocess, eda, baseline):
        yield first.__name__, first.main
    for name in backbones:
        for stage in (pretrained, train, evaluate, localize_iobb):
            yield f"{stage.__name__} {name}", partial(stage.main, name)
    yield from ((last.__name__, last.main) for last in (compare, sheets, report))


if __name__ == "__main__":
    typer.run(main)
