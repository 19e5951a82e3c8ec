"""Downloads from a real server that fails in every way a server can."""

import hashlib
import os
import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3.util.retry import Retry

from cxr14.data.download import fetch
from cxr14.data.download.fetch import fetch_all
from cxr14.data.download.remote import RemoteFile
from tests.data.download.faulty_server import Fault, FaultyServer

SIZE = 1 << 20
CONTENT = os.urandom(SIZE)
NAME = "images_001.tar.gz"
QUICK = Retry(total=3, backoff_factor=0.001)


@pytest.fixture
def server():
    with FaultyServer({NAME: CONTENT}) as server:
        yield server


def get(server, folder, *, names=(NAME,), timeout=5.0, retry=QUICK, **changes):
    files = [RemoteFile(**server.entry(name, **changes)) for name in names]
    fetch_all(files, folder, retry=retry, timeout=(5.0, timeout))


def is_whole(folder, name=NAME, content=CONTENT):
    """The file is right, and nothing else was left behind."""
    left = {path.name for path in folder.iterdir()} - {".lock"}
    return (folder / name).read_bytes() == content and left == {name}


def test_a_file_is_fetched_and_a_second_run_asks_for_nothing(server, tmp_path, capsys):
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert "images_001.tar.gz: 1.0 MB fetched, MD5 right" in capsys.readouterr().out
    get(server, tmp_path)
    assert server.ranges(NAME) == [None]
    assert "1.0 MB here already, MD5 right" in capsys.readouterr().out


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


@pytest.mark.parametrize("lie", [-1000, 1000])
@pytest.mark.parametrize("size", [{}, {"bytes": None}])
def test_a_wrong_content_length_is_seen_through(server, tmp_path, lie, size):
    server.faults[NAME] = [Fault(more_announced=lie)]
    get(server, tmp_path, **size)
    assert is_whole(tmp_path)


def test_a_body_that_ends_early_without_a_length_is_resumed(server, tmp_path):
    server.faults[NAME] = [Fault(no_length=True, cut_after=500_000)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[1] == "bytes=500000-"


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


def test_a_web_page_in_place_of_the_file_does_not_cost_the_part(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=500_000), Fault(body=b"<html>", ranges=False)]
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert server.ranges(NAME)[2] == server.ranges(NAME)[1]


def test_damage_after_the_download_is_found_and_mended(server, tmp_path):
    get(server, tmp_path)
    linked = tmp_path / "elsewhere"
    os.link(tmp_path / NAME, linked)
    damaged = CONTENT[:1000] + b"\0\0\0\0" + CONTENT[1004:]
    (tmp_path / NAME).write_bytes(damaged)
    get(server, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert linked.read_bytes() == damaged, "the old file is replaced, not written through"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, tmp_path, status):
    server.faults[NAME] = [Fault(status=status)] * 2
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert len(server.log) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected_in_seconds_and_as_a_date(server, tmp_path, status):
    server.faults[NAME] = [Fault(status=status, retry_after="1")]
    get(server, tmp_path)
    assert server.times[1] - server.times[0] >= 1
    server.faults["b.tar"] = [Fault(status=status, retry_after=formatdate(time.time() + 2))]
    server.files["b.tar"] = CONTENT
    get(server, tmp_path, names=["b.tar"])
    assert server.times[3] - server.times[2] >= 0.9  # HTTP dates know whole seconds only


def test_a_retry_after_that_is_no_time_is_not_a_reason_to_fail(server, tmp_path):
    server.faults[NAME] = [Fault(status=503, retry_after="soon")]
    get(server, tmp_path)
    assert is_whole(tmp_path)


def test_a_server_that_stays_busy_is_given_up(server, tmp_path):
    server.always[NAME] = Fault(status=503)
    with pytest.raises(ValueError, match="failed 4 times in a row, at last with: HTTP 503"):
        get(server, tmp_path)
    assert len(server.log) == 4


def test_attempts_are_counted_anew_whenever_the_file_has_grown(server, tmp_path):
    server.faults[NAME] = [Fault(cut_after=100_000)] * 8
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert len(server.log) == 9


def test_a_server_that_always_cuts_at_the_same_byte_is_given_up(server, tmp_path):
    server.always[NAME] = Fault(cut_after=100_000, ranges=False)
    with pytest.raises(ValueError, match="failed 4 times in a row"):
        get(server, tmp_path)


def test_a_file_that_is_not_there_is_an_error_at_once(server, tmp_path):
    server.always[NAME] = Fault(status=404)
    with pytest.raises(ValueError, match=r"images_001\.tar\.gz answers HTTP 404 Not Found; put"):
        get(server, tmp_path)
    assert len(server.log) == 1


def test_a_host_that_cannot_be_reached_is_named(server, tmp_path):
    file = RemoteFile(name=NAME, url="http://127.0.0.1:9/x.gz", bytes=1, md5=None)
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/x\.gz failed 4 times.*refused"):
        fetch_all([file], tmp_path, retry=QUICK)


def test_several_files_are_fetched_at_once_but_no_more_than_asked(server, tmp_path):
    names = [f"images_{n:03d}.tar.gz" for n in range(1, 7)]
    for name in names:
        server.files[name] = name.encode() * 30_000
        server.always[name] = Fault(pause=0.005)
    files = [RemoteFile(**server.entry(name)) for name in names]
    fetch_all(files, tmp_path, connections=3, retry=QUICK)
    assert server.most_at_once == 3
    for name in names:
        assert (tmp_path / name).read_bytes() == server.files[name]


def test_a_failure_stops_the_others_and_keeps_what_they_have(server, tmp_path):
    server.files["images_002.tar.gz"] = CONTENT * 4
    server.always["images_002.tar.gz"] = Fault(pause=0.02)
    server.always[NAME] = Fault(status=404)
    started = time.monotonic()
    with pytest.raises(ValueError, match="HTTP 404"):
        get(server, tmp_path, names=["images_002.tar.gz", NAME])
    assert time.monotonic() - started < 3, "the other file alone takes five seconds"
    assert not (tmp_path / "images_002.tar.gz").exists()
    part = (tmp_path / "images_002.tar.gz.part").read_bytes()
    assert part == (CONTENT * 4)[: len(part)]


def test_a_second_process_waits_for_the_first(server, tmp_path, capsys):
    server.always[NAME] = Fault(pause=0.01)
    runs = [threading.Thread(target=get, args=(server, tmp_path)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert is_whole(tmp_path)
    assert server.ranges(NAME) == [None]
    assert "another process fetches into" in capsys.readouterr().out


def test_a_disk_that_is_too_small_is_seen_before_the_first_byte(server, tmp_path):
    file = RemoteFile(**server.entry(NAME, bytes=10**18))
    with pytest.raises(ValueError, match=r"needs 1000000000\.0 GB more and its disk has"):
        fetch_all([file], tmp_path)
    assert server.log == []


def test_what_is_here_is_not_counted_as_needed(server, tmp_path, monkeypatch):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:-10])
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage)
    get(server, tmp_path)
    assert is_whole(tmp_path)


def test_a_mirror_replaces_the_host_of_every_file(server, tmp_path):
    file = RemoteFile(**server.entry(NAME, url="http://nowhere.invalid/abc.gz"))
    fetch_all([file], tmp_path, mirror=f"{server.base}/some/where/", retry=QUICK)
    assert is_whole(tmp_path)


def test_a_folder_can_be_the_mirror_and_stays_as_it_is(server, tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / NAME).write_bytes(CONTENT)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / f"{NAME}.part").write_bytes(CONTENT[:5000])
    file = RemoteFile(**server.entry(NAME))
    fetch_all([file], tmp_path / "to", mirror=str(tmp_path / "mirror"))
    assert is_whole(tmp_path / "to")
    assert server.log == []
    assert not (tmp_path / "to" / NAME).samefile(tmp_path / "mirror" / NAME)


def test_a_mirror_that_is_not_there_or_lacks_a_file_is_named(server, tmp_path):
    file = RemoteFile(**server.entry(NAME))
    with pytest.raises(FileNotFoundError, match=r"data\.mirror: no/such is neither an http"):
        fetch_all([file], tmp_path, mirror="no/such")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty/images_001\.tar\.gz does not exist; put"):
        fetch_all([file], tmp_path, mirror=str(tmp_path / "empty"))


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
