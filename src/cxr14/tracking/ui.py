"""MLflow's UI for the store of this repository, as ``cxr14 ui`` serves it.

One worker and no job runner: it starts in 20 seconds instead of a minute, in half a gigabyte.
MLflow leaves the children of its server running, so they are ended here, however this process ends.
"""

import os
import signal
import socket
import subprocess
import sys
from types import FrameType

from cxr14.errors import UserError
from cxr14.tracking.store import (
    ENVIRONMENT,
    artifact_location,
    connect,
    hide_passwords,
    tracking_uri,
)

START_PAGE = "#/experiments?workflowType=machine_learning"  # the default is the page for GenAI
PATIENCE = 5  # seconds between SIGTERM and SIGKILL
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WATCHDOG = f"read _; kill -TERM -$0 && sleep {PATIENCE} && kill -KILL -$0"
"""Shell script that ends the process group $0 when its standard input is closed."""


def command(host: str, port: int) -> list[str]:
    """Return the command line of the server."""
    uri = tracking_uri()
    line = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    line += ["--host", host, "--port", str(port), "--workers", "1"]
    line += ["--uvicorn-opts", "--log-level warning"]
    location = artifact_location(uri)
    return line + (["--default-artifact-root", location] if location else [])


def serve(host: str, port: int) -> int:
    """Run the server until it ends or a stop is requested; return its exit code.

    Raises:
        UserError: the store cannot be used, or is a server with its own UI.
    """
    if tracking_uri().startswith(("http:", "https:")):
        raise UserError(
            f"MLFLOW_TRACKING_URI names a server: open {hide_passwords(tracking_uri())} instead"
        )
    _check_port(host, port)
    connect()  # creates the tables under the lock, beside a training that starts now
    for name in STOP_SIGNALS:
        signal.signal(name, _exit)
    environment = {"PYTHONWARNINGS": "ignore"} | ENVIRONMENT | os.environ
    page = f"http://{host}:{port}/{START_PAGE}"
    print(f"MLflow, in about 20 seconds: {page} (Ctrl-C ends it)", flush=True)
    return _run_group(command(host, port), environment)


def _check_port(host: str, port: int) -> None:
    """Check that no other program listens on the port."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise UserError(
            f"port {port} of {host} cannot be used ({error.strerror}); choose another one: "
            f"cxr14 ui --port {port + 1}"
        ) from None


def _run_group(line: list[str], environment: dict[str, str]) -> int:
    """Run a command in its own process group; end the group with it, or with this process.

    SIGKILL of this process closes the pipe to the watchdog.
    """
    server = subprocess.Popen(line, env=environment, start_new_session=True)
    watchdog = subprocess.Popen(
        ["sh", "-c", WATCHDOG, str(server.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return server.wait()
    except SystemExit:
        return 0
    finally:
        _end_group(server)
        watchdog.kill()  # it would wait for processes that have ended but are not reaped yet
        watchdog.communicate()


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _end_group(server: "subprocess.Popen[bytes]") -> None:
    """End all processes of the server's group by SIGTERM, then SIGKILL; ignore further signals."""
    for name in STOP_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    for name in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, name)
        except ProcessLookupError:
            return
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
