"""Interrupted runs: real processes, killed for real; what was finished is not done again."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from cxr14.data.archives.folder import read_manifest
from cxr14.data.cache import ARRAY, INDEX
from cxr14.data.preprocessing import fill, rooms
from cxr14.data.preprocessing.engines import run_local
from cxr14.data.preprocessing.fill import fill_cache
from cxr14.data.preprocessing.rooms import open_room
from cxr14.data.preprocessing.shards import SHARD, Outcome, Room, cut, is_finished, shrink_shard
from tests.data.pictures import encode, noise, some_pngs, write_archive, write_loose

ROOT = Path(__file__).resolve().parents[3]
SIZE = 32
COUNT = 4 * SHARD
FILL = """
import signal
import sys
from functools import partial
from pathlib import Path
from cxr14.data.preprocessing.engines import run_local
from cxr14.data.archives.folder import read_manifest
from cxr14.data.preprocessing.fill import fill_cache

if __name__ == "__main__":
    # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Path(sys.argv[1])
    manifest = read_manifest(place / "raw")
    fill_cache(manifest, place / "raw", place / "cache", 32, place / "scratch", partial(run_local, workers=2))
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Enough loose pictures for four shards, two archives, and the cache of an undisturbed run."""
    place = tmp_path_factory.mktemp("raw")
    pngs = {f"{n:08d}_000.png": encode(noise(n, 300, 300)) for n in range(COUNT)}
    write_loose(place / "raw" / "images", pngs)
    for n in (1, 2):
        extra = {f"{n}{name[1:]}": content for name, content in list(pngs.items())[: SHARD // 2]}
        write_archive(place / "raw" / f"images_{n:03d}.tar.gz", extra)
    fill_cache(
        read_manifest(place / "raw"), place / "raw", place / "cache", SIZE, place / "scratch"
    )
    return place


def room_of(place):
    return next(path for path in (place / "scratch").iterdir() if path.is_dir())


def markers(place):
    """The markers of finished shards, with the moment at which each was written."""
    return {path.name: path.stat().st_mtime_ns for path in room_of(place).glob("*.json")}


def same(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in (ARRAY, INDEX))


def start(place):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    script = place / "fill.py"
    script.write_text(FILL)
    return subprocess.Popen(
        [sys.executable, str(script), str(place)], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def some_finished(place):
    return (place / "scratch").is_dir() and any((place / "scratch").glob("*/*.json"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stage_killed_in_mid_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    raw, tmp_path, how
):
    (tmp_path / "raw").symlink_to(raw / "raw")
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
    manifest = read_manifest(tmp_path / "raw")
    written = []

    def watched(shards, room):
        for shard, outcome in run_local(shards, room, 1):
            written.append(room.marker(shard).name)
            yield shard, outcome
        assert before.items() <= markers(tmp_path).items()

    fill_cache(manifest, tmp_path / "raw", tmp_path / "cache", SIZE, tmp_path / "scratch", watched)
    assert sorted([*written, *before]) == [f"{n:05d}.json" for n in range(6)]
    assert same(tmp_path / "cache", raw / "cache")


def test_a_killed_worker_is_an_error_that_names_its_shard_and_the_next_run_ends_alike(
    raw, tmp_path
):
    (tmp_path / "raw").symlink_to(raw / "raw")
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
    assert last.startswith("cxr14.data.preprocessing.engines.WorkerLostError: the worker of ")
    assert str((raw / "raw").resolve()) in last
    assert "images from" in last
    assert "was killed" in last
    start(tmp_path).communicate(timeout=120)
    assert same(tmp_path / "cache", raw / "cache")


def test_a_mended_picture_costs_its_own_shard_only(raw, tmp_path):
    write_loose(
        tmp_path / "raw" / "images",
        {path.name: path.read_bytes() for path in (raw / "raw" / "images").iterdir()},
    )
    hurt = tmp_path / "raw" / "images" / f"{SHARD + 7:08d}_000.png"
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=f"1 images of .* cannot be used.*\n.*{hurt.name}"):
        fill_cache(
            read_manifest(tmp_path / "raw"),
            tmp_path / "raw",
            tmp_path / "cache",
            SIZE,
            tmp_path / "scratch",
        )
    hurt.write_bytes(whole)
    done = []

    def watched(shards, room):
        done.extend(shard.number for shard in shards)
        return run_local(shards, room, 1)

    fill_cache(
        read_manifest(tmp_path / "raw"),
        tmp_path / "raw",
        tmp_path / "cache",
        SIZE,
        tmp_path / "scratch",
        watched,
    )
    assert done == [1]


def test_rows_of_another_content_are_never_taken_for_finished(tmp_path):
    """A shard is done, its picture is exchanged, a run over the new one breaks off, and the old
    picture comes back: the marker of the first time must not count."""
    write_loose(tmp_path / "raw", some_pngs(2))
    old = read_manifest(tmp_path / "raw")
    with open_room(tmp_path / "scratch", old, SIZE) as room:
        [first] = cut(old, tmp_path / "raw")
        shrink_shard(first, room)
        assert is_finished(first, room)
        (tmp_path / "raw" / "00000001_000.png").write_bytes(encode(noise(77)))
        (tmp_path / "raw" / "00000002_000.png").write_bytes(b"broken")
        new = read_manifest(tmp_path / "raw")
        [second] = cut(new, tmp_path / "raw")
        assert shrink_shard(second, room).bad.keys() == {1}
        assert not is_finished(second, room)
        assert not is_finished(first, room)


def test_other_params_and_other_code_have_a_room_of_their_own(tmp_path, monkeypatch):
    write_loose(tmp_path / "raw", some_pngs(2))
    manifest = read_manifest(tmp_path / "raw")
    folders = set()
    for size, code in ((32, "a"), (64, "a"), (32, "b"), (32, "a")):
        monkeypatch.setattr(rooms, "code_version", lambda code=code: code)
        with open_room(tmp_path / "scratch", manifest, size) as room:
            folders.add(room.folder)
    assert len(folders) == 3


def test_a_worker_with_other_code_is_refused(tmp_path):
    write_loose(tmp_path / "raw", some_pngs(2))
    [shard] = cut(read_manifest(tmp_path / "raw"), tmp_path / "raw")
    with pytest.raises(ValueError, match=r"00000001_000\.png.*another version of cxr14"):
        shrink_shard(shard, Room(tmp_path, SIZE, "other"))


def test_a_second_run_of_the_same_work_waits_for_the_first(tmp_path, capsys):
    place = tmp_path
    write_loose(place / "raw", some_pngs(2))
    manifest = read_manifest(place / "raw")
    with open_room(place / "scratch", manifest, SIZE):
        process = start(place)
        line = process.stderr.readline()
        assert "another run is making the same cache; waiting for it" in line
        assert process.poll() is None
        assert not (place / "cache" / ARRAY).exists()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (place / "cache" / ARRAY).exists()


def test_a_cache_that_does_not_fit_the_disk_is_refused_before_any_work(tmp_path, monkeypatch):
    write_loose(tmp_path / "raw", some_pngs(2))
    manifest = read_manifest(tmp_path / "raw")
    with (
        pytest.raises(ValueError, match=r"the cache needs [\d.]+ GB in .* are free"),
        open_room(tmp_path / "scratch", manifest, 2**25),
    ):
        raise AssertionError
    assert list((tmp_path / "scratch").glob("*/*")) == []


def test_an_error_in_a_worker_is_passed_on_and_leaves_no_worker_behind(raw, tmp_path):
    manifest = read_manifest(raw / "raw")
    before = set(psutil.Process().children(recursive=True))
    with open_room(tmp_path / "scratch", manifest, SIZE) as room:
        broken = Room(room.folder, room.size, "other")
        with pytest.raises(ValueError, match="another version"):
            list(run_local(cut(manifest, raw / "raw"), broken, 2))
    left = [
        child
        for child in set(psutil.Process().children(recursive=True)) - before
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert left == []


@pytest.mark.parametrize("window", ["the array is taken", "the room is cleared"])
def test_a_run_that_ends_while_it_tidies_up_does_not_leave_a_black_cache(
    raw, tmp_path, monkeypatch, window
):
    """Markers of the finished shards stayed without their array; the next run believed them."""
    manifest = read_manifest(raw / "raw")
    work = (manifest, raw / "raw", tmp_path / "cache", SIZE, tmp_path / "scratch")

    def lose_the_array(room, *_):  # moved to its new name, which `replacing` then removes
        (room.folder / ARRAY).unlink()
        raise KeyboardInterrupt

    def clear_half(folder, ignore_errors=False):
        if ignore_errors:
            return  # the room is being opened, and is empty
        next(folder.glob("*.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as ending:
        if window == "the array is taken":
            ending.setattr(fill, "take_array", lose_the_array)
        else:
            ending.setattr(fill.shutil, "rmtree", clear_half)
        with pytest.raises(KeyboardInterrupt):
            fill_cache(*work, partial(run_local, workers=1))
    (tmp_path / "cache" / ARRAY).unlink(missing_ok=True)  # DVC removes outs before a rerun
    fill_cache(*work, partial(run_local, workers=1))
    assert same(tmp_path / "cache", raw / "cache")


def test_a_shard_that_is_finished_is_left_alone_by_a_worker_that_comes_late(raw, tmp_path):
    """A cluster may give up on a worker that still lives, and give its shard to another one."""
    manifest = read_manifest(raw / "raw")
    with open_room(tmp_path, manifest, SIZE) as room:
        first = cut(manifest, raw / "raw")[0]
        shrink_shard(first, room)
        before = room.marker(first).stat()
        assert shrink_shard(first, room) == Outcome()
        assert room.marker(first).stat() == before
