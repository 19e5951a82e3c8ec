"""A throw-away PostgreSQL on loopback, for tests: trusting, in a folder of its own, without fsync."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tracking.servers import free_port

PATIENCE = 60  # seconds until it accepts connections, on a busy machine


def find_postgres() -> Path | None:
    """The folder with `initdb` and `postgres`: on the PATH, or where Debian puts it."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "postgres").exists()), None)


def _unprivileged() -> dict[str, Any]:
    """Who runs it: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def postgres(binaries: Path) -> Iterator[str]:
    """Its address, as SQLAlchemy takes it; ended, and its folder removed, afterwards."""
    who, port = _unprivileged(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="cxr14-postgres-"))
    try:
        os.chown(folder, who.get("user", -1), who.get("group", -1))
        make = [binaries / "initdb", "-D", folder / "data", "-U", "cxr14"]
        make += ["--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL, **who)
        serve = [binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port)]
        serve += ["-k", "", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **who)
        try:
            _wait(binaries, port, folder / "log")
            yield f"postgresql+psycopg://cxr14@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # the fast shutdown, children included
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _wait(binaries: Path, port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    ready = [binaries / "pg_isready", "--quiet", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode != 0:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
