"""Runs killed for real, and one that fails: what was finished stays, no process is left behind."""

import signal

import psutil
import pytest

from cxr14.datasets.manifest import list_images
from cxr14.errors import UserError
from cxr14.preprocessing.cache import ARRAY
from cxr14.preprocessing.fill import fill_cache, open_work_directory
from cxr14.preprocessing.shards import WorkDirectory, cut, run_local
from tests.preprocessing.interrupted import (
    SIZE,
    markers,
    same,
    some_finished,
    start,
    wait_until,
)

pytestmark = pytest.mark.graph


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stage_killed_in_mid_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    undisturbed, tmp_path, how
):
    (tmp_path / "raw").symlink_to(undisturbed / "raw")
    process = start(tmp_path)
    wait_until(lambda: some_finished(tmp_path))
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []  # nobody is left who would write into the array
    before = markers(tmp_path)
    assert 0 < len(before) < 6
    assert not (tmp_path / "cache" / ARRAY).exists()
    manifest = list_images(tmp_path / "raw").manifest
    written = []

    def watched(shards, work_dir):
        for shard, outcome in run_local(shards, work_dir, 1):
            written.append(work_dir.marker(shard).name)
            yield shard, outcome
        assert before.items() <= markers(tmp_path).items()

    fill_cache(manifest, tmp_path / "raw", tmp_path / "cache", SIZE, tmp_path / "scratch", watched)
    assert sorted([*written, *before]) == [f"{n:05d}.json" for n in range(6)]
    assert same(tmp_path / "cache", undisturbed / "cache")


def test_a_killed_worker_is_an_error_that_names_its_shard_and_the_next_run_ends_alike(
    undisturbed, tmp_path
):
    (tmp_path / "raw").symlink_to(undisturbed / "raw")
    process = start(tmp_path)
    wait_until(lambda: some_finished(tmp_path))
    working = [
        child for child in psutil.Process(process.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]  # fmt: skip
    working[0].send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("cxr14.preprocessing.shards.WorkerLostError: the worker of ")
    assert str((undisturbed / "raw").resolve()) in last
    assert "images from" in last
    assert "was killed" in last
    start(tmp_path).communicate(timeout=120)
    assert same(tmp_path / "cache", undisturbed / "cache")


def test_an_error_in_a_worker_is_passed_on_and_leaves_no_worker_behind(undisturbed, tmp_path):
    manifest = list_images(undisturbed / "raw").manifest
    before = set(psutil.Process().children(recursive=True))
    with open_work_directory(tmp_path / "scratch", manifest, SIZE) as work_dir:
        broken = WorkDirectory(work_dir.folder, work_dir.size, "other")
        with pytest.raises(UserError, match="another version"):
            list(run_local(cut(manifest, undisturbed / "raw"), broken, 2))
    left = [
        child
        for child in set(psutil.Process().children(recursive=True)) - before
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert left == []
