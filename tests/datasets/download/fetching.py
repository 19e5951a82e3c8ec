"""Fetching one archive of random bytes from the faulty server."""

import os

from urllib3.util.retry import Retry

from cxr14.datasets.download import fetch_all
from cxr14.datasets.nih import RemoteFile

SIZE = 1 << 20
CONTENT = os.urandom(SIZE)
NAME = "images_001.tar.gz"
QUICK = Retry(total=3, backoff_factor=0.001)


def get(server, folder, *, names=(NAME,), timeout=5.0, retry=QUICK, **changes):
    """Fetch files as a catalogue lists them, or would with these changes."""
    files = [RemoteFile(**server.entry(name, **changes)) for name in names]
    fetch_all(files, folder, retry=retry, timeout=(5.0, timeout))


def is_whole(folder, name=NAME, content=CONTENT):
    """The file is right, and nothing else was left behind."""
    left = {path.name for path in folder.iterdir()} - {".lock"}
    return (folder / name).read_bytes() == content and left == {name}
