"""Benchmark from the download to the cached images, at NIH's scale or a share of it.

    python benchmarks/scale.py --scale 0.125

In a clone of this repository with `data.source: nih`, from a local server in place of NIH's:
twelve archives of the true layout and names, whose images are some hundred PNGs in turn (real
ones from $CXR14_NIH, else the phantoms of data/raw). The records are all 112,120 rows at any scale.
Seconds, and the peak memory of the largest process, of each stage run by DVC, and of a `dvc repro`
with nothing to do. At scale 1 it needs about 55 GB of disk under --folder, and frees it.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import typer
import yaml
from _stand_in import StandIn, make_archives
from rich.console import Console
from rich.table import Table

from cxr14.datasets.image_table import read_images
from cxr14.datasets.raw import IMAGE_TABLE, LISTS
from cxr14.io import packaged_file

ROOT = Path(__file__).resolve().parents[1]
WATCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Run a command from a small process: the peak of a child starts at that of its parent."""

CHECKS = ("check-params", "check-outputs")
STAGES = (*CHECKS, "download", "patient-split", "preprocess", "eda", "baseline")


def pictures(most: int = 300) -> list[bytes]:
    """Return PNGs: real ones if available, else phantoms."""
    real = os.environ.get("CXR14_NIH")
    if real:
        return [path.read_bytes() for path in sorted(Path(real, "images").glob("*.png"))[:most]]
    with tarfile.open(ROOT / "data/raw/archives/images_001.tar") as archive:
        members = [member for member in archive if member.isfile()][:most]
        return [archive.extractfile(member).read() for member in members]


def official_lists() -> dict[str, bytes]:
    """Return the official lists, where they are at hand."""
    paths = [Path(os.environ.get("CXR14_NIH", "."), name) for name in LISTS]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def prepare(folder: Path, catalogue: Path) -> None:
    """Clone this repository and set it to the download, from the catalogue."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["data"]["source"] = "nih"
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    graph = (folder / "dvc.yaml").read_text()
    command = "cmd: python -m stages.download"
    (folder / "dvc.yaml").write_text(graph.replace(command, f"{command} --catalogue {catalogue}"))


def measure(folder: Path, *targets: str) -> tuple[float, float]:
    """Reproduce; return the seconds, and the GB of the largest process."""
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", WATCH, sys.executable, "-m", "dvc", "repro", *targets]
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    if done.returncode:
        raise SystemExit(f"dvc repro {' '.join(targets)} failed; see {folder / 'log.txt'}")
    return time.perf_counter() - start, int(done.stdout) / 2**20


def main(scale: float = 0.125, folder: Path = ROOT / ".scratch", keep: bool = False) -> None:
    """Measure one scale and print a table."""
    table = packaged_file("torchxrayvision", f"torchxrayvision/data/{IMAGE_TABLE}.gz")
    names = read_images(table).image.tolist()
    pngs, kind = pictures(), "real" if os.environ.get("CXR14_NIH") else "phantom"
    server = StandIn(make_archives(names, pngs, scale), official_lists())
    count = sum(len(archive.images) for archive in server.archives.values())
    folder.mkdir(exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix="cxr14-scale-", dir=folder))
    try:
        server.write_catalogue(workspace / "catalogue.json")
        prepare(workspace / "clone", workspace / "catalogue.json")
        table = Table("stage", "seconds", "GB, largest process")
        for stage in STAGES:
            seconds, peak = measure(workspace / "clone", "--single-item", stage)
            table.add_row(stage, f"{seconds:.1f}", f"{peak:.2f}")
        seconds, peak = measure(workspace / "clone", "eda", "baseline")
        table.add_row("all of them, nothing to do", f"{seconds:.1f}", f"{peak:.2f}")
        size = sum(server.sizes.values()) / 1e9
        table.title = (
            f"scale {scale:g}: {count:,} images ({len(pngs)} {kind} PNGs in turn), {size:.1f} GB, "
            f"{os.cpu_count()} cores"
        )
        Console(width=100).print(table)
    finally:
        if not keep:
            shutil.rmtree(workspace)


if __name__ == "__main__":
    typer.run(main)
