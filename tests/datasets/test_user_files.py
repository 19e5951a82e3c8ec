"""A user's files, whatever they are: read within bounds, or refused in one sentence."""

import os
import socket
import struct
import time
import tracemalloc
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from cxr14.datasets.text_files import (
    open_user_zip,
    read_member,
    read_member_start,
    read_start,
    read_user_file,
)
from cxr14.errors import UserError

LIMIT = 1000


@pytest.fixture(params=[read_user_file, lambda path: read_start(path, 10)], ids=["whole", "start"])
def read(request):
    return request.param


def test_a_regular_file_and_a_link_to_one_are_read(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"x" * LIMIT)
    (tmp_path / "link.csv").symlink_to(tmp_path / "table.csv")
    assert read_user_file(tmp_path / "link.csv", LIMIT) == b"x" * LIMIT
    assert read_start(tmp_path / "link.csv", 3) == b"xxx"


def test_a_pipe_is_refused_at_once(read, tmp_path):
    """It waited for a writer for ever."""
    os.mkfifo(tmp_path / "table.csv")
    start = time.monotonic()
    with pytest.raises(UserError, match=r"table\.csv is a named pipe; allowed: a regular file"):
        read(tmp_path / "table.csv")
    assert time.monotonic() - start < 5


def test_a_device_reached_by_a_link_is_refused(read, tmp_path):
    (tmp_path / "table.csv").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"table\.csv is a device"):
        read(tmp_path / "table.csv")


def test_a_socket_and_a_folder_are_refused(read, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UserError, match="s is a socket"):
            read(tmp_path / "s")
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)


def test_links_to_nothing_and_to_themselves_are_refused(read, tmp_path):
    (tmp_path / "gone.csv").symlink_to("nowhere")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(UserError, match="is a link to a file that does not exist"):
        read(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"loop\.csv cannot be read \(Too many levels of symbolic"):
        read(tmp_path / "loop.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(read, tmp_path):
    (tmp_path / "table.csv").write_text("x")
    (tmp_path / "table.csv").chmod(0)
    with pytest.raises(UserError, match=r"table\.csv cannot be read \(Permission denied"):
        read(tmp_path / "table.csv")


def test_a_sparse_file_is_refused_by_its_size(tmp_path):
    """It took 6 GB."""
    with (tmp_path / "table.csv").open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(UserError, match=rf"has {2**42} bytes or more; allowed: at most"):
        read_user_file(tmp_path / "table.csv")


def test_a_file_that_claims_no_size_is_read_as_far_as_the_limit(tmp_path):
    """Files of /proc have the size 0, and content."""
    with pytest.raises(UserError, match="allowed: at most 10"):
        read_user_file("/proc/cpuinfo", 10)
    assert read_user_file("/proc/cpuinfo").startswith(b"processor")


def write_zip(path, content):
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)


def claim(path, size):
    """Change the size that a zip's table of contents gives for its one member."""
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\1\2")
    content[directory + 24 : directory + 28] = struct.pack("<I", size)
    path.write_bytes(content)


def test_a_member_larger_than_the_limit_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", b"x" * (LIMIT + 1))
    with open_user_zip(tmp_path / "a.zip") as archive:
        with pytest.raises(UserError, match=rf"a\.zip: table\.csv has {LIMIT + 1} bytes"):
            read_member(archive, archive.infolist()[0], LIMIT)
        assert len(read_member(archive, archive.infolist()[0], LIMIT + 1)) == LIMIT + 1


def test_a_member_that_lies_about_its_size_costs_no_memory(tmp_path):
    """It took 2.2 GB."""
    write_zip(tmp_path / "a.zip", bytes(200_000_000))
    claim(tmp_path / "a.zip", LIMIT)
    with open_user_zip(tmp_path / "a.zip") as archive:
        tracemalloc.start()
        with pytest.raises(UserError, match=r"table\.csv is damaged"):
            read_member(archive, archive.infolist()[0], LIMIT)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000


def test_a_member_shorter_than_it_claims_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", b"rows")
    claim(tmp_path / "a.zip", LIMIT)
    with (
        open_user_zip(tmp_path / "a.zip") as archive,
        pytest.raises(UserError, match=r"is damaged \(4 of 1000 bytes\)"),
    ):
        read_member(archive, archive.infolist()[0], LIMIT)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4 cut off"])
def test_what_is_no_zip_is_one_sentence(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: not a whole archive"):
        open_user_zip(tmp_path / "a.zip")


def test_a_pipe_called_zip_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(UserError, match=r"a\.zip is a named pipe"):
        open_user_zip(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [ZIP_BZIP2, ZIP_LZMA])
def test_a_member_packed_by_another_method_is_refused_and_costs_no_memory(tmp_path, method):
    """zipfile inflates these in whole chunks: 3 kB took a gigabyte."""
    with ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("table.csv", bytes(200_000_000))
    claim(tmp_path / "a.zip", LIMIT)
    with open_user_zip(tmp_path / "a.zip") as archive:
        entry = archive.infolist()[0]
        tracemalloc.start()
        with pytest.raises(UserError, match=r"table\.csv: packed by .*; only stored and deflate"):
            read_member(archive, entry)
        with pytest.raises(UserError, match=r"table\.csv: packed by .*; only stored and deflate"):
            read_member_start(archive, entry, 10)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000
