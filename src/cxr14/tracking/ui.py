"""MLflow's UI for the store of this repository: ``python -m cxr14.tracking.ui [--port 5000]``.

One worker and no job runner: it starts in 20 seconds instead of a minute, in half a gigabyte.
Ctrl-C or a termination signal ends the server with all its children, which MLflow leaves behind.
"""

import argparse
import os
import signal
import subprocess
import sys
from types import FrameType

from cxr14.errors import explain
from cxr14.tracking.store import (
    ENVIRONMENT,
    StoreError,
    artifact_location,
    connect,
    hide_passwords,
    tracking_uri,
)

START_PAGE = "#/experiments?workflowType=machine_learning"  # the default is the page for GenAI
PATIENCE = 5  # seconds between SIGTERM and SIGKILL


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

    The server has its own process group, so that its children end with it.

    Raises:
        SystemExit: the store cannot be used, or is a server with its own UI.
    """
    if tracking_uri().startswith(("http:", "https:")):
        raise SystemExit(
            f"MLFLOW_TRACKING_URI names a server: open {hide_passwords(tracking_uri())} instead"
        )
    try:
        connect()  # under the lock, so that a training that starts now does not race
    except StoreError as error:
        raise SystemExit(f"error: {explain(error)}") from None
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _leave)
    environment = {"PYTHONWARNINGS": "ignore"} | ENVIRONMENT | os.environ
    page = f"http://{host}:{port}/{START_PAGE}"
    print(f"MLflow, in about 20 seconds: {page} (Ctrl-C ends it)", flush=True)
    server = subprocess.Popen(command(host, port), env=environment, start_new_session=True)
    try:
        return server.wait()
    except SystemExit:
        return 0
    finally:
        _end_group(server)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _end_group(server: "subprocess.Popen[bytes]") -> None:
    """End all processes of the server's group by SIGTERM, then SIGKILL; ignore further signals."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
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


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m cxr14.tracking.ui")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=5000)
    chosen = parser.parse_args()
    sys.exit(serve(chosen.host, chosen.port))


if __name__ == "__main__":
    main()
