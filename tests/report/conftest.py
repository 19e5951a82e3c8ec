"""Results of phantoms, of the official split, and of a split of our own, read from files."""

import pytest

from cxr14.report.results import Results, read_results
from tests.report.written import OFFICIAL, OWN, PHANTOM, write_results


@pytest.fixture
def phantoms(tmp_path) -> Results:
    """Two backbones on phantoms; plots lie in tmp_path/plots."""
    return read_results(tmp_path, write_results(tmp_path, PHANTOM))


@pytest.fixture
def official(tmp_path) -> Results:
    """Two backbones on real pixels and the official split."""
    return read_results(tmp_path, write_results(tmp_path, OFFICIAL))


@pytest.fixture
def own_split(tmp_path) -> Results:
    """Two backbones on real pixels and a split of our own."""
    return read_results(tmp_path, write_results(tmp_path, OWN))
