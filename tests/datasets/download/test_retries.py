"""A server that fails is asked again while that may help, and given up in one sentence."""

import time
from email.utils import formatdate

import pytest

from cxr14.datasets.download import fetch_all
from cxr14.datasets.nih import RemoteFile
from tests.datasets.download.faulty_server import Fault
from tests.datasets.download.fetching import CONTENT, NAME, QUICK, get, is_whole


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
    with pytest.raises(ValueError, match=r"images_001\.tar\.gz: HTTP 404 Not Found; put"):
        get(server, tmp_path)
    assert len(server.log) == 1


def test_a_host_that_cannot_be_reached_is_named(server, tmp_path):
    file = RemoteFile(name=NAME, url="http://127.0.0.1:9/x.gz", bytes=1, md5=None)
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/x\.gz failed 4 times.*refused"):
        fetch_all([file], tmp_path, retry=QUICK)
