"""The engine `dask` on a real cluster: a scheduler and two workers, processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing import shards
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.preprocessing.fill import fill_cache
from cxr14.preprocessing.shards import SHARD, WorkerLostError, run_dask, run_local
from tests.datasets.pictures import encode, noise, write_archive, write_loose

pytestmark = pytest.mark.graph

pytest.importorskip("distributed", reason="the extra `dask` is not installed")

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64


def launch(*words):
    """A part of the cluster, as a user would start it, with this checkout's code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, "-m", *words], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler and the processes of two workers; none outlives the test."""
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = launch(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.split(":")[-1],
        "--no-dashboard",
    )  # fmt: skip
    workers = [
        launch(
            "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--local-directory", str(tmp_path / f"worker{n}"),
        )
        for n in range(2)
    ]  # fmt: skip
    wait_for_workers(address)
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def wait_for_workers(address):
    from distributed import Client

    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=60)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Loose pictures for six shards, an archive, one bad picture; and the local engine's cache."""
    place = tmp_path_factory.mktemp("raw")
    pngs = {f"{n:08d}_000.png": encode(noise(n, 120, 120)) for n in range(6 * SHARD)}
    pngs["00000005_000.png"] = b"no picture"
    write_loose(place / "raw" / "images", pngs)
    write_archive(
        place / "raw" / "images_001.tar.gz",
        {f"9{n:07d}_000.png": encode(noise(n)) for n in range(9)},
    )
    fill(place, place, partial(run_local, workers=2))
    return place


def fill(raw, place, engine):
    return fill_cache(
        list_images(raw / "raw").manifest,
        raw / "raw",
        place / "cache",
        SIZE,
        place / "scratch",
        engine,
        "skip",
    )


def test_a_cluster_that_loses_a_worker_in_mid_run_leaves_the_same_bytes(raw, tmp_path, cluster):
    address, workers = cluster
    seen = []

    def losing_one(shards, work_dir):
        for shard, outcome in run_dask(shards, work_dir, address):
            if not seen:
                workers[0].send_signal(signal.SIGKILL)
                assert workers[0].wait() == -signal.SIGKILL
            seen.append(shard.number)
            yield shard, outcome

    filled = fill(raw, tmp_path, losing_one)
    assert sorted(seen) == list(range(7))
    assert (filled.counts["images"], filled.counts["skipped"]) == (6 * SHARD + 8, 1)
    assert workers[1].poll() is None
    skipped = filled.issues[filled.issues.action == "skipped"]
    assert skipped.issue.tolist() == ["unreadable"]
    for name in (ARRAY, INDEX):
        assert (tmp_path / "cache" / name).read_bytes() == (raw / "cache" / name).read_bytes()


@pytest.mark.parametrize("pause", [0, 4])
def test_a_cluster_without_workers_is_an_error_and_what_was_done_is_kept(
    raw, tmp_path, cluster, monkeypatch, pause
):
    """After the pause all shards are done, but their outcomes died with the workers: a hang."""
    monkeypatch.setattr(shards, "PATIENCE", 4.0)
    monkeypatch.setattr(shards, "FETCH", 0.5)
    address, workers = cluster

    def losing_all(shards, work_dir):
        for shard, outcome in run_dask(shards, work_dir, address):
            time.sleep(pause)
            for worker in workers:
                worker.kill()
                worker.wait()
            yield shard, outcome

    start = time.monotonic()
    with pytest.raises(
        WorkerLostError, match=r"has had no worker for 4 s.*what is finished is kept"
    ):
        fill(raw, tmp_path, losing_all)
    assert time.monotonic() - start < 60
    assert any((tmp_path / "scratch").glob("*/*.json"))
    fill(raw, tmp_path, partial(run_local, workers=1))
    assert (tmp_path / "cache" / ARRAY).read_bytes() == (raw / "cache" / ARRAY).read_bytes()


def test_a_scheduler_that_is_not_there_is_named(raw, tmp_path, monkeypatch):
    import distributed

    patient = distributed.Client
    impatient = lambda address, timeout: patient(address, timeout=timeout / 10)  # noqa: E731
    monkeypatch.setattr(distributed, "Client", impatient)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(
        ValueError, match=rf"^preprocess\.scheduler: no scheduler responds at {address}"
    ):
        fill(raw, tmp_path, partial(run_dask, scheduler=address))
