"""A process that fills a cache and can be killed, and what it leaves behind."""

import os
import subprocess
import sys
import time

from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.preprocessing.shards import SHARD
from tests.conftest import ROOT

SIZE = 32
COUNT = 4 * SHARD
FILL = """
import signal
import sys
from functools import partial
from pathlib import Path
from cxr14.preprocessing.shards import run_local
from cxr14.datasets.manifest import list_images
from cxr14.preprocessing.fill import fill_cache

if __name__ == "__main__":
    # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Path(sys.argv[1])
    manifest = list_images(place / "raw").manifest
    fill_cache(manifest, place / "raw", place / "cache", 32, place / "scratch", partial(run_local, workers=2))
"""


def start(place):
    """Start a run over `place`/raw."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    script = place / "fill.py"
    script.write_text(FILL)
    return subprocess.Popen(
        [sys.executable, str(script), str(place)], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(condition, seconds=60):
    """Wait, with an end to patience."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def some_finished(place):
    """Whether a shard is finished."""
    return (place / "scratch").is_dir() and any((place / "scratch").glob("*/*.json"))


def room_of(place):
    """The folder of the run that was interrupted."""
    return next(path for path in (place / "scratch").iterdir() if path.is_dir())


def markers(place):
    """The markers of finished shards, with the moment at which each was written.

    A process killed while it wrote one leaves a file with a dot in front.
    """
    return {path.name: path.stat().st_mtime_ns for path in room_of(place).glob("[0-9]*.json")}


def same(one, other):
    """Whether two caches have the same bytes."""
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in (ARRAY, INDEX))
