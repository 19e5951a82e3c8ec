"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture(scope="session")
def nih() -> Path:
    """Real ChestX-ray14 files (images/, official lists), where this machine has them.

    Name their folder in CXR14_NIH; beside the repository, ``shared/data/nih`` is tried too.
    """
    folder = Path(os.environ.get("CXR14_NIH") or ROOT.parent / "shared" / "data" / "nih")
    if not (folder / "train_val_list.txt").exists():
        pytest.skip(f"no real ChestX-ray14 files in {folder} (set CXR14_NIH)")
    return folder
