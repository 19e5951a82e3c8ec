"""MLflow's UI for the store of this repository, as ``cxr14 ui`` serves it.

One worker and no job runner: it starts in 20 seconds instead of a minute, in half a gigabyte.
MLflow leaves the children of its server running; child_server.py ends them.
"""

import os
import sys

from cxr14.child_server import check_port, run_group
from cxr14.errors import UserError
from cxr14.tracking.store import (
    ENVIRONMENT,
    artifact_location,
    connect,
    hide_passwords,
    tracking_uri,
)

START_PAGE = "#/experiments?workflowType=machine_learning"  # the default is the page for GenAI


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
    check_port(host, port, "cxr14 ui")
    connect()  # creates the tables under the lock, beside a training that starts now
    environment = {"PYTHONWARNINGS": "ignore"} | ENVIRONMENT | os.environ
    page = f"http://{host}:{port}/{START_PAGE}"
    print(f"MLflow, in about 20 seconds: {page} (Ctrl-C ends it)", flush=True)
    return run_group(command(host, port), environment)
