"""What came is held against size and MD5, however the server lied about it."""

import hashlib
import os

import pytest

from tests.datasets.download.faulty_server import Fault
from tests.datasets.download.fetching import CONTENT, NAME, SIZE, get, is_whole


@pytest.mark.parametrize("lie", [-1000, 1000])
@pytest.mark.parametrize("size", [{}, {"bytes": None}])
def test_a_wrong_content_length_is_seen_through(server, tmp_path, lie, size):
    server.faults[NAME] = [Fault(more_announced=lie)]
    get(server, tmp_path, **size)
    assert is_whole(tmp_path)


def test_a_body_without_end_stops_at_the_known_size(server, tmp_path):
    server.always[NAME] = Fault(no_length=True, body=CONTENT * 20)
    with pytest.raises(ValueError, match="twice: more than 1,048,576 bytes"):
        get(server, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_wrong_bytes_are_fetched_again_once(server, tmp_path):
    server.faults[NAME] = [Fault(body=bytes(SIZE))]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME) == [None, None]


def test_wrong_bytes_twice_end_in_a_sentence_that_says_what_to_do(server, tmp_path):
    server.always[NAME] = Fault(body=bytes(SIZE))
    with pytest.raises(
        ValueError, match=r"images_001\.tar\.gz: not the right.*MD5 b6d81b3"
    ) as error:
        get(server, tmp_path)
    assert hashlib.md5(bytes(SIZE)).hexdigest() in str(error.value)
    assert f"put {NAME} at {tmp_path / NAME} by hand, or set data.mirror" in str(error.value)
    assert len(server.log) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("images")] == []


def test_damage_after_the_download_is_found_and_mended(server, tmp_path):
    get(server, tmp_path)
    linked = tmp_path / "elsewhere"
    os.link(tmp_path / NAME, linked)
    damaged = CONTENT[:1000] + b"\0\0\0\0" + CONTENT[1004:]
    (tmp_path / NAME).write_bytes(damaged)
    get(server, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert linked.read_bytes() == damaged, "the old file is replaced, not written through"
