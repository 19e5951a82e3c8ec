"""Servers to download from, started anew for each test."""

import pytest

from tests.datasets.download.catalogued import HALVES, SMALL, write_catalogue
from tests.datasets.download.faulty_server import FaultyServer
from tests.datasets.download.fetching import CONTENT, NAME
from tests.datasets.pictures import write_archive


@pytest.fixture
def server():
    """A server of one archive."""
    with FaultyServer({NAME: CONTENT}) as server:
        yield server


@pytest.fixture
def nih_server(tmp_path):
    """A server of two archives and four small files, and catalogue.json of them."""
    for name, pngs in HALVES.items():
        write_archive(tmp_path / "served" / name, pngs)
    archives = {name: (tmp_path / "served" / name).read_bytes() for name in HALVES}
    with FaultyServer(SMALL | archives) as server:
        write_catalogue(server, tmp_path)
        yield server
