"""Real server processes for the tests: started, asked, and ended with all their children."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """This process's variables without ours, DVC's and MLflow's, which sets some for children."""
    ours = ("MLFLOW_", "DVC_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


PATIENCE = 20  # seconds


@contextmanager
def running(command: list[str], log: Path, **more: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that leads a group of its own; at the end the group is asked, then killed.

    `make ui` ends its server, which has another group, only if it is asked.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **more
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(url: str, body: object = None) -> Any:
    """What a server answers, as JSON (None if it is empty); a body is posted."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read().strip() or b"null")


def patiently(process: "subprocess.Popen[bytes]", action: Callable[[], T], log: Path) -> T:
    """Repeat an action until the server is up; fail with its log if it ends instead."""
    while process.poll() is None:
        try:
            return action()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise AssertionError(f"the server ended with {process.returncode}: {log.read_text()}")
