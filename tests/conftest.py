"""Fixtures that several rooms share."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import settings

from cxr14.datasets.image_table import read_boxes, read_images
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE
from cxr14.io import packaged_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = Path("/usr/bin/chromium")
LONG = (
    "test_pipeline.py",
    "test_serving.py",
    "test_killed.py",
    "test_ending.py",
    "test_any_backbone.py",
)
"""Files that take a minute or more: first, so that no core waits for another in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; files stay whole, as each goes to one process."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium without a window; without it the test is skipped.

    Not of the session: playwright runs an event loop until it ends.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def nih() -> Path:
    """Real ChestX-ray14 files (images/, official lists), where this machine has them.

    Name their folder in CXR14_NIH; beside the repository, ``shared/data/nih`` is tried too.
    """
    folder = Path(os.environ.get("CXR14_NIH") or ROOT.parent / "shared" / "data" / "nih")
    if not (folder / "train_val_list.txt").exists():
        pytest.skip(f"no real ChestX-ray14 files in {folder} (set CXR14_NIH)")
    return folder


@pytest.fixture(scope="session")
def table_files(tmp_path_factory) -> tuple[Path, Path]:
    """The packaged table of images and list of boxes, unpacked."""
    folder = tmp_path_factory.mktemp("tables")
    for name in (IMAGE_TABLE, BOX_TABLE):
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{name}.gz")
        (folder / name).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder / IMAGE_TABLE, folder / BOX_TABLE


@pytest.fixture(scope="session")
def tables(table_files) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All 112,120 records and all 984 boxes. Do not change them: they are shared."""
    return read_images(table_files[0]), read_boxes(table_files[1])
