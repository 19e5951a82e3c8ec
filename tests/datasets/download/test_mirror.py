"""Another host, or a folder, in place of the host that a file's address names."""

import pytest

from cxr14.datasets.download import fetch_all
from cxr14.datasets.nih import RemoteFile
from tests.datasets.download.fetching import CONTENT, NAME, QUICK, is_whole


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
