"""Every file is fetched once, several at a time, by one process, where the disk has room."""

import threading
import time

import pytest

from cxr14.datasets import download
from cxr14.datasets.download import fetch_all
from cxr14.datasets.nih import RemoteFile
from tests.datasets.download.faulty_server import Fault
from tests.datasets.download.fetching import CONTENT, NAME, QUICK, get, is_whole


def test_a_file_is_fetched_and_a_second_run_asks_for_nothing(server, tmp_path, capsys):
    get(server, tmp_path)
    assert is_whole(tmp_path)
    assert "images_001.tar.gz: 1.0 MB fetched, MD5 right" in capsys.readouterr().out
    get(server, tmp_path)
    assert server.ranges(NAME) == [None]
    assert "1.0 MB here already, MD5 right" in capsys.readouterr().out


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
    assert "another process fetches into" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_seen_before_the_first_byte(server, tmp_path):
    file = RemoteFile(**server.entry(NAME, bytes=10**18))
    with pytest.raises(ValueError, match=r"needs 1000000000\.0 GB more and its file system .* has"):
        fetch_all([file], tmp_path)
    assert server.log == []


def test_what_is_here_is_not_counted_as_needed(server, tmp_path, monkeypatch):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:-10])
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage)
    get(server, tmp_path)
    assert is_whole(tmp_path)
