"""The trained project of the tests of tracking, with its images as files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tracking.conftest import trained_once

__all__ = ["trained_once"]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory, trained_once: Path) -> Path:
    """The images of the project's cache as PNG files of the same pixels."""
    folder = tmp_path_factory.mktemp("films")
    for number, pixels in enumerate(np.load(trained_once / "data/cache/images.npy")):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
