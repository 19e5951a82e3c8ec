"""What was finished is not done again, and nothing else is taken for finished."""

from functools import partial

import pytest

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing import fill
from cxr14.preprocessing.cache import ARRAY
from cxr14.preprocessing.fill import fill_cache, open_work_directory
from cxr14.preprocessing.shards import SHARD, Outcome, cut, is_finished, run_local, shrink_shard
from tests.datasets.pictures import encode, noise, some_pngs, write_loose
from tests.preprocessing.interrupted import SIZE, same


def test_a_mended_picture_costs_its_own_shard_only(undisturbed, tmp_path):
    write_loose(
        tmp_path / "raw" / "images",
        {path.name: path.read_bytes() for path in (undisturbed / "raw" / "images").iterdir()},
    )
    hurt = tmp_path / "raw" / "images" / f"{SHARD + 7:08d}_000.png"
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=f"1 images of .* cannot be used.*\n.*{hurt.name}"):
        fill_cache(
            list_images(tmp_path / "raw").manifest,
            tmp_path / "raw",
            tmp_path / "cache",
            SIZE,
            tmp_path / "scratch",
        )
    hurt.write_bytes(whole)
    done = []

    def watched(shards, work_dir):
        done.extend(shard.number for shard in shards)
        return run_local(shards, work_dir, 1)

    fill_cache(
        list_images(tmp_path / "raw").manifest,
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
    old = list_images(tmp_path / "raw").manifest
    with open_work_directory(tmp_path / "scratch", old, SIZE) as work_dir:
        [first] = cut(old, tmp_path / "raw")
        shrink_shard(first, work_dir)
        assert is_finished(first, work_dir)
        (tmp_path / "raw" / "00000001_000.png").write_bytes(encode(noise(77)))
        (tmp_path / "raw" / "00000002_000.png").write_bytes(b"broken")
        new = list_images(tmp_path / "raw").manifest
        [second] = cut(new, tmp_path / "raw")
        assert shrink_shard(second, work_dir).bad.keys() == {1}
        assert not is_finished(second, work_dir)
        assert not is_finished(first, work_dir)


@pytest.mark.parametrize("window", ["the array is taken", "the work directory is cleared"])
def test_a_run_that_ends_while_it_tidies_up_does_not_leave_a_black_cache(
    undisturbed, tmp_path, monkeypatch, window
):
    """Markers of the finished shards stayed without their array; the next run believed them."""
    manifest = list_images(undisturbed / "raw").manifest
    work = (manifest, undisturbed / "raw", tmp_path / "cache", SIZE, tmp_path / "scratch")

    def lose_the_array(work_dir, *_):  # moved to its new name, which `replacing` then removes
        (work_dir.folder / ARRAY).unlink()
        raise KeyboardInterrupt

    def clear_half(folder, ignore_errors=False):
        if ignore_errors:
            return  # the work_dir is being opened, and is empty
        next(folder.glob("*.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as ending:
        if window == "the array is taken":
            ending.setattr(fill, "move_array", lose_the_array)
        else:
            ending.setattr(fill.shutil, "rmtree", clear_half)
        with pytest.raises(KeyboardInterrupt):
            fill_cache(*work, partial(run_local, workers=1))
    (tmp_path / "cache" / ARRAY).unlink(missing_ok=True)  # DVC removes outs before a rerun
    fill_cache(*work, partial(run_local, workers=1))
    assert same(tmp_path / "cache", undisturbed / "cache")


def test_a_shard_that_is_finished_is_left_alone_by_a_worker_that_comes_late(undisturbed, tmp_path):
    """A cluster may give up on a worker that still lives, and give its shard to another one."""
    manifest = list_images(undisturbed / "raw").manifest
    with open_work_directory(tmp_path, manifest, SIZE) as work_dir:
        first = cut(manifest, undisturbed / "raw")[0]
        shrink_shard(first, work_dir)
        before = work_dir.marker(first).stat()
        assert shrink_shard(first, work_dir) == Outcome()
        assert work_dir.marker(first).stat() == before
