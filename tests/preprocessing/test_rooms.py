"""The work_dir of a run belongs to one work, one version of the code and one process at a time."""

from pathlib import Path

import pytest

from cxr14.datasets.manifest import list_images
from cxr14.errors import UserError
from cxr14.preprocessing import fill
from cxr14.preprocessing.cache import ARRAY
from cxr14.preprocessing.complete import naming_disk
from cxr14.preprocessing.fill import open_work_directory
from cxr14.preprocessing.shards import WorkDirectory, cut, shrink_shard
from tests.datasets.pictures import some_pngs, write_loose
from tests.preprocessing.interrupted import SIZE, start


def test_other_params_and_other_code_have_a_room_of_their_own(tmp_path, monkeypatch):
    write_loose(tmp_path / "raw", some_pngs(2))
    manifest = list_images(tmp_path / "raw").manifest
    folders = set()
    for size, code in ((32, "a"), (64, "a"), (32, "b"), (32, "a")):
        monkeypatch.setattr(fill, "code_version", lambda code=code: code)
        with open_work_directory(tmp_path / "scratch", manifest, size) as work_dir:
            folders.add(work_dir.folder)
    assert len(folders) == 3


def test_a_worker_with_other_code_is_refused(tmp_path):
    write_loose(tmp_path / "raw", some_pngs(2))
    [shard] = cut(list_images(tmp_path / "raw").manifest, tmp_path / "raw")
    with pytest.raises(ValueError, match=r"00000001_000\.png.*another version of cxr14"):
        shrink_shard(shard, WorkDirectory(tmp_path, SIZE, "other"))


def test_a_second_run_of_the_same_work_waits_for_the_first(tmp_path, capsys):
    place = tmp_path
    write_loose(place / "raw", some_pngs(2))
    manifest = list_images(place / "raw").manifest
    with open_work_directory(place / "scratch", manifest, SIZE):
        process = start(place)
        line = process.stderr.readline()
        assert "another run fills the same cache; waiting for it" in line
        assert process.poll() is None
        assert not (place / "cache" / ARRAY).exists()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (place / "cache" / ARRAY).exists()


def test_a_cache_that_does_not_fit_the_disk_is_refused_before_any_work(tmp_path, monkeypatch):
    write_loose(tmp_path / "raw", some_pngs(2))
    manifest = list_images(tmp_path / "raw").manifest
    with (
        pytest.raises(ValueError, match=r"the cache needs [\d.]+ GB in .* are free"),
        open_work_directory(tmp_path / "scratch", manifest, 2**25),
    ):
        raise AssertionError
    assert list((tmp_path / "scratch").glob("*/*")) == []


def test_a_disk_that_fills_up_is_one_sentence_that_names_the_file_system(tmp_path):
    """The error of a write by descriptor names no file."""
    with (
        pytest.raises(UserError, match=r"^the file system / is full; free some space.*0\.json"),
        naming_disk(Path("/nowhere/0.json")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_other_errors_of_the_machine_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), naming_disk(tmp_path):
        (tmp_path / "gone").read_bytes()
