"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def nih() -> Path:
    """Real ChestX-ray14 files (images/, official lists), where this machine has them.

    Name their folder in CXR14_NIH; beside the repository, ``shared/data/nih`` is tried too.
    """
    folder = Path(os.environ.get("CXR14_NIH") or ROOT.parent / "shared" / "data" / "nih")
    if not (folder / "train_val_list.txt").exists():
        pytest.skip(f"no real ChestX-ray14 files in {folder} (set CXR14_NIH)")
    return folder
