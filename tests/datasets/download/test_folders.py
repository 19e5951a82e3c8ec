"""The folder of the downloads: on a full disk, on one that is not mounted, or with odd files."""

import os
import subprocess

import pytest

from cxr14.datasets.nih import FetchError
from tests.datasets.download.fetching import CONTENT, NAME, SIZE, get, is_whole


def test_a_link_to_a_disk_that_is_not_mounted_is_named(server, tmp_path):
    (tmp_path / "kept").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FetchError, match=r"kept, where .* is a link to .*nowhere, which is no"):
        get(server, tmp_path / "kept" / "catalogue")
    with pytest.raises(FetchError, match=r"kept, where .* is a link to .*nowhere, which is no"):
        get(server, tmp_path / "kept")


def test_a_file_in_place_of_the_folder_is_named(server, tmp_path):
    (tmp_path / "kept").write_text("x")
    for folder in (tmp_path / "kept", tmp_path / "kept" / "deep"):
        with pytest.raises(FetchError, match=r"kept, where downloads are kept, is no folder"):
            get(server, folder)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [NAME, f"{NAME}.part", f"{NAME}.part.etag"])
def test_a_pipe_in_place_of_a_file_is_named_and_not_opened(server, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FetchError, match=rf"{name} is no regular file; remove it"):
        get(server, tmp_path, bytes=None)


@pytest.mark.parametrize("tag", [b"\xff\xfe\0", b"", b'"a"\r\nX: y', b"no quotes"])
def test_a_damaged_validator_of_a_part_does_not_stop_the_download(server, tmp_path, tag):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[: SIZE // 2])
    (tmp_path / f"{NAME}.part.etag").write_bytes(tag)
    get(server, tmp_path)
    assert is_whole(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_while_downloading_is_named_and_keeps_what_came(server, small_disk):
    with pytest.raises(FetchError, match=rf"{NAME}: the file system {small_disk} is full; free"):
        get(server, small_disk, bytes=None)  # of unknown size, so it is not refused before
    assert 0 < (small_disk / f"{NAME}.part").stat().st_size < SIZE


def test_a_disk_that_is_too_small_is_named_before_the_first_byte(server, small_disk):
    with pytest.raises(FetchError, match=rf"its file system {small_disk} has 0\.0 GB free"):
        get(server, small_disk)
    assert server.log == []
