"""Results of phantoms, of the official split, and of a split of our own."""

from pathlib import Path

import pytest

from cxr14.report.page import read_and_render
from cxr14.report.summary import Results, read_results
from tests.report.images import LOCALIZE
from tests.report.written import AREAS, write_results
from tests.sources import OFFICIAL, OWN_SPLIT, PHANTOM


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> dict[str, Path]:
    """Projects of two backbones, by kind; leave their files as they are."""
    root = tmp_path_factory.mktemp("report")
    for name, source in {"phantoms": PHANTOM, "official": OFFICIAL, "own_split": OWN_SPLIT}.items():
        write_results(root / name, source)
    return {name: root / name for name in ("phantoms", "official", "own_split")}


@pytest.fixture
def phantoms(written) -> Results:
    """On phantoms."""
    return read_results(written["phantoms"], list(AREAS))


@pytest.fixture
def official(written) -> Results:
    """On real pixels and the official split."""
    return read_results(written["official"], list(AREAS))


@pytest.fixture
def own_split(written) -> Results:
    """On real pixels and a split of our own."""
    return read_results(written["own_split"], list(AREAS))


@pytest.fixture(scope="session")
def pages(written) -> dict[str, str]:
    """The pages, by kind of project."""
    return {
        name: read_and_render(root, read_results(root, list(AREAS)), LOCALIZE)
        for name, root in written.items()
    }
