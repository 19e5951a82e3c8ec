"""A small trained project, and the app that serves it."""

import hashlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psutil
import pytest

from cxr14.datasets.records import write_source
from cxr14.io import write_npy, write_parquet
from cxr14.labels import LABEL_COLUMNS
from cxr14.project import ROOT_FILES
from cxr14.serving.description import write_description
from cxr14.serving.input_check import InputCheck
from tests.app.radiographs import COUNT, SIDE, file_of, pixels_of
from tests.conftest import ROOT
from tests.sources import PHANTOM
from tests.tracking.conftest import serving_fake, split_fake, train_fake
from tests.tracking.servers import clean_environment, free_port, patiently

if TYPE_CHECKING:
    pass


def write_data(root: Path) -> None:
    """Images 0.png, 1.png, …, of val and test in turn; half of test have a Mass, with a box."""
    names = [f"{number}.png" for number in range(COUNT)]
    write_npy(root / "data/cache/images.npy", np.stack([pixels_of(n) for n in range(COUNT)]))
    index = pd.DataFrame({"row": range(COUNT), "image": names, "scale": 1.0})
    index = index.assign(offset_x=0.0, offset_y=0.0, source_width=SIDE, source_height=SIDE)
    index["sha256"] = [hashlib.sha256(file_of(number)).hexdigest() for number in range(COUNT)]
    write_parquet(root / "data/cache/index.parquet", index)
    write_parquet(root / "data/split/split.parquet", split_fake())
    records = split_fake()[["image", "patient"]].assign(**dict.fromkeys(LABEL_COLUMNS, 0))
    records["Mass"] = (np.arange(COUNT) % 4 == 3).astype(int)
    records.loc[::6, ["Mass", "Edema"]] = 1  # in val too, so that there is a threshold
    records["no_finding"] = 1 - records["Mass"]
    write_parquet(root / "data/records/images.parquet", records)
    boxes = pd.DataFrame({"image": names[3::4], "finding": "Mass", "x": 256.0, "y": 512.0})
    write_parquet(root / "data/records/boxes.parquet", boxes.assign(width=256.0, height=128.0))
    write_source(PHANTOM, root / "data/records/source.json")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two backbones with random weights, and an input check that lets any grey image pass."""
    root = tmp_path_factory.mktemp("project")
    write_data(root)
    for seed, backbone in enumerate(("alexnet", "googlenet")):
        train_fake(root, backbone, 0.7, seed)
        description = serving_fake(backbone)  # of its last layer, which is one pixel
        heatmaps = description.heatmaps.model_copy(update={"layer": 4, "smoothing": 0.06})
        described = description.model_copy(update={"heatmaps": heatmaps})
        write_description(root / "serving" / f"{backbone}.json", described)
    images = np.load(root / "data/cache/images.npy")
    check = InputCheck.fit(images, np.arange(1, COUNT, 2), np.arange(0, COUNT, 2))
    limits = np.full_like(check.limits, 1e6)
    InputCheck(check.mean, check.components, check.variances, limits).save(
        root / "data/input_check.npz"
    )
    for name in ROOT_FILES:
        (root / name).touch()
    return root


@pytest.fixture(scope="session")
def app(project: Path) -> Iterator[tuple[str, int, Path]]:
    """The running app: its address, process and log."""
    pytest.importorskip("streamlit")
    port, log = free_port(), project / "app.log"
    environment = clean_environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src")])}
    command = [sys.executable, "-m", "cxr14.cli", "app", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=project / "data", env=environment, stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"
    try:
        patiently(process, lambda: urllib.request.urlopen(f"{address}/_stcore/health").close(), log)
        yield address, process.pid, log
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert process.returncode == 0
    assert not [child for child in children if child.is_running()]
