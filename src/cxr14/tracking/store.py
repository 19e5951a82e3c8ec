"""Where MLflow keeps its records, and how a process connects to them.

By default that is ``mlflow.db`` and ``mlruns/`` in the original repository, both by absolute
path: a path relative to the working directory would vanish with the temporary workspace of
``dvc exp run --temp``. MLFLOW_TRACKING_URI, where it is set, is used instead.
"""

import logging
import os
import re
from typing import TYPE_CHECKING

from filelock import FileLock

from cxr14.errors import UserError
from cxr14.files import project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "cxr14"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # its only outside look-up
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # halves the UI's start, memory to a fifth
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is away is reported in seconds
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set before mlflow is imported, unless the caller has set them already."""

NOISY = {
    "alembic": logging.ERROR,  # migrations
    "mlflow.utils.environment": logging.ERROR,  # no pip beside uv
    "mlflow.store.db.utils": logging.CRITICAL,  # tracebacks of what is raised, and told, anyway
}
"""From which level on MLflow's parts are heard."""


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite store of the original repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def shown(text: str) -> str:
    """Return a text for people, without the passwords of the addresses in it."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1:***@", text)


def first_line(error: Exception) -> str:
    """Return what an error says, for people, in a line."""
    return shown(str(error).strip().partition("\n")[0]) or type(error).__name__


def artifact_location(uri: str) -> str | None:
    """Return the absolute artifact folder beside a database; None leaves the choice to a server."""
    served = uri.startswith(("http:", "https:"))
    return None if served else (project_root() / "mlruns").as_uri()


def lock() -> FileLock:
    """Return this repository's lock on its MLflow store, re-entrant within a thread."""
    return FileLock(project_root() / ".mlflow.lock", is_singleton=True)


def connect() -> tuple["MlflowClient", str]:
    """Open the store, creating tables and experiment where they are missing.

    One process at a time: two that open an empty store together would both create its tables.

    Returns:
        A client and the id of the experiment ``cxr14``.

    Raises:
        UserError: the store cannot be opened, or its server does not answer.
    """
    os.environ.update({name: os.environ.get(name, ENVIRONMENT[name]) for name in ENVIRONMENT})
    import mlflow

    for name, level in NOISY.items():
        logging.getLogger(name).setLevel(level)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        with lock():
            client = mlflow.MlflowClient(uri, uri)
            return client, _experiment(client, artifact_location(uri))
    except mlflow.MlflowException as error:
        raise UserError(
            f"MLflow's store {shown(uri)} cannot be opened: {first_line(error)}"
        ) from error


def _experiment(client: "MlflowClient", location: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on our runs
        return client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
