"""A download goes on from the byte it reached, and never mixes two versions of a file."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3.util.retry import Retry

from tests.datasets.download.faulty_server import Fault, FaultyServer
from tests.datasets.download.fetching import CONTENT, NAME, SIZE, get, is_whole


def test_a_dropped_connection_is_resumed_from_the_byte_reached(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=300_000), Fault(cut_after=400_000)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    first, second, third = server.ranges(NAME)
    assert first is None
    reached = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
    assert 0 < reached[0] <= 300_000 < reached[1] <= 700_000
    assert reached[0] > 300_000 - (1 << 16)


def test_a_stalled_connection_is_given_up_and_resumed(server, tmp_path):
    server.faults[NAME] = [Fault(stall_after=500_000)]
    get(server, tmp_path, timeout=0.3)
    assert is_whole(tmp_path)
    assert len(server.log) == 2
    assert server.ranges(NAME)[1] is not None


def test_a_body_that_ends_early_without_a_length_is_resumed(server, tmp_path):
    server.faults[NAME] = [Fault(no_length=True, cut_after=500_000)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[1] == "bytes=500000-"


def test_a_server_that_knows_no_ranges_sends_the_whole_again(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=500_000)]
    server.always[NAME] = Fault(ranges=False)
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[1] is not None


def test_another_range_than_was_asked_starts_the_file_over(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=500_000), Fault(shift=7)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[2] is None


@pytest.mark.parametrize("md5", [{}, {"md5": None, "bytes": None}])
def test_a_file_that_changed_between_two_pieces_is_not_mixed(server, tmp_path, md5):
    server.faults[NAME] = [Fault(cut_after=500_000, body=bytes(SIZE), etag='"zero"')]
    get(server, tmp_path, **md5)
    assert is_whole(tmp_path)
    assert server.log[1][2] == '"zero"'


def test_without_a_checksum_or_a_validator_nothing_is_resumed(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=500_000, body=bytes(SIZE), etag=None)]
    get(server, tmp_path, md5=None)
    assert is_whole(tmp_path)
    assert server.ranges(NAME) == [None, None]


def test_a_whole_part_of_unknown_size_is_recognised(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    get(server, tmp_path, bytes=None)
    assert is_whole(tmp_path)
    assert server.ranges(NAME) == [f"bytes={SIZE}-"]


def test_a_part_longer_than_the_file_starts_over(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME) == [None]


def test_a_web_page_in_place_of_the_file_does_not_cost_the_part(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=500_000), Fault(body=b"<html>", ranges=False)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[2] == server.ranges(NAME)[1]


FAULTS = st.one_of(
    st.builds(
        Fault,
        cut_after=st.integers(0, SIZE),
        ranges=st.booleans(),
        no_length=st.booleans(),
        etag=st.sampled_from(['"one"', '"two"', None]),
    ),
    st.builds(Fault, status=st.sampled_from([429, 500, 503])),
    st.builds(Fault, shift=st.integers(1, 9)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(faults=st.lists(FAULTS, max_size=6), here=st.integers(0, SIZE))
def test_whatever_happens_on_the_way_the_bytes_are_right(faults, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("to")
    (folder / f"{NAME}.part").write_bytes(CONTENT[:here])
    with FaultyServer({NAME: CONTENT}) as server:
        server.faults[NAME] = faults
        get(server, folder, retry=Retry(total=10, backoff_factor=0))
    assert is_whole(folder)
