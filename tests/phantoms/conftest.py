"""One anatomy for all tests of this room: projecting the CT takes seconds."""

import pytest

from cxr14.phantoms.anatomy import POSES, Anatomy, load_anatomy


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    return load_anatomy((POSES[0], POSES[3]))  # one PA, one AP
