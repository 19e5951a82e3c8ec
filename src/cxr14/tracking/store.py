"""Location of the MLflow store, checks of it, and the connection to it.

The default is ``mlflow.db`` and ``mlruns/`` in the original repository, not in the temporary
workspace of ``dvc exp run --temp``. MLFLOW_TRACKING_URI overrides it.
"""

import logging
import os
import re
import shlex
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from cxr14.errors import UserError, explain, full_disk, quote
from cxr14.io import project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy.engine import URL


SQLITE_SECONDS = 10.0
"""Timeout of the lock on a SQLite store."""

CONNECT_SECONDS = 5.0
"""Timeout of a connection to a server."""

ANSWER_SECONDS = 10.0
"""Timeout of the health check of an MLflow server."""

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Default ports of database servers."""

EXPERIMENT = "cxr14"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # its only external request
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # halves the UI's start, memory to a fifth
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # an unreachable server is reported in seconds
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # a server that hangs, in two minutes instead of eight
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Defaults of environment variables, set before mlflow is imported."""

NOISY = {
    "alembic": logging.ERROR,  # migrations
    "mlflow.utils.environment": logging.ERROR,  # no pip beside uv
    "mlflow.store.db.utils": logging.CRITICAL,  # tracebacks of errors that are raised as well
}
"""Logging levels of modules of MLflow."""

ATTEMPTS = 3
"""Attempts of MLflow to open a database, instead of ten in 100 seconds."""

QUIET_SECONDS, LOCK_SECONDS = 10, 600
"""Seconds of waiting for the lock until a message, and until an error."""


class StoreError(UserError):
    """MLflow's store cannot be used; the artifacts of the pipeline are not affected."""


def check_store(uri: str) -> None:
    """Raise StoreError within seconds if a store cannot be used.

    MLflow itself retries for minutes on a store that is locked, damaged or unreachable, and prints
    a traceback for each attempt.
    """
    if uri.startswith(("http:", "https:")):
        _check_server(uri)
    elif (file := sqlite_file(uri)) is not None:
        _check_sqlite(file, _lock_seconds(uri))
    elif (url := _database_url(uri)) is not None:
        _check_database_server(url)


def sqlite_file(uri: str) -> Path | None:
    """Return the absolute path of a SQLite store's file; None for any other store."""
    url = _database_url(uri)
    if url is None or url.get_backend_name() != "sqlite":
        return None
    name = url.database
    return None if not name or name.startswith((":memory:", "file:")) else Path(name).absolute()


def _database_url(uri: str) -> "URL | None":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in uri:
        return None  # a folder
    try:
        return make_url(uri)
    except (ArgumentError, ValueError):
        if uri.startswith("sqlite") or uri.partition("+")[0].partition(":")[0] in PORTS:
            raise StoreError(
                "it is no database URI (example: sqlite:////home/me/mlflow.db)"
            ) from None
        return None


def _lock_seconds(uri: str) -> float:
    url = _database_url(uri)
    chosen = url.query.get("timeout") if url is not None else None
    try:
        return min(float(str(chosen)), SQLITE_SECONDS) if chosen else SQLITE_SECONDS
    except ValueError:
        raise StoreError(f"timeout={chosen} in its URI is no number of seconds") from None


def _check_sqlite(file: Path, seconds: float) -> None:
    """Read every page, and begin a write that is rolled back; a missing file is created empty."""
    if file.exists() and not file.is_file():
        raise StoreError(f"{file} is no regular file; move it away")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=seconds, isolation_level=None)) as database:
            # Rewriting the header creates the journal, as a real write does.
            version = database.execute("pragma user_version").fetchone()[0]
            database.execute("begin immediate")
            database.execute(f"pragma user_version = {int(version)}")
            database.execute("rollback")
            (check,) = database.execute("pragma quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(_sqlite_problem(file, str(error))) from None
    if check != "ok":
        raise StoreError(_sqlite_problem(file, f"malformed: {check}"))


def _sqlite_problem(file: Path, reason: str) -> str:
    """Return the error of a SQLite file with its fix."""
    text = " ".join(reason.split())
    if "locked" in text:
        return f"{text}; another process holds {file}: end it, or wait for it"
    if "disk is full" in text:
        return f"{text}: {full_disk(file)}"
    if "not a database" in text or "malformed" in text:
        return f"{text}; {set_aside(file)}"
    return f"{text}; check that {file} and its folder can be written"


def set_aside(file: Path) -> str:
    """Return the fix of a damaged store: rename it, and rebuild it from the artifacts."""
    aside = file.with_name(f"{file.name}.old")
    command = shlex.join(["mv", str(file), str(aside)])
    return f"set it aside (`{command}`), and `make register` makes it again"


def _check_database_server(url: "URL") -> None:
    default = PORTS.get(url.get_backend_name())
    if default is None or url.host is None:  # a Unix socket responds at once
        return
    port = url.port or default
    try:
        socket.create_connection((url.host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise StoreError(f"no server accepts connections at {url.host}:{port} ({error})") from None


def _check_server(uri: str) -> None:
    """Check that an MLflow server is up; any HTTP response counts, even an error."""
    import requests

    try:
        parts = urlsplit(uri)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        address = uri.rstrip("/") + "/health"
        verify = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1")
        requests.get(address, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), verify=verify).close()
    except requests.exceptions.SSLError:
        return  # MLflow has more settings for certificates and reports errors itself
    except requests.Timeout:
        raise StoreError(f"the server {host} does not respond within seconds") from None
    except (requests.ConnectionError, requests.exceptions.ProxyError):
        raise StoreError(f"no server accepts connections at {host}") from None
    except (requests.RequestException, ValueError):
        raise StoreError("it is no address of a server (example: http://127.0.0.1:5000)") from None


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite store of the original repository.

    Raises StoreError if MLflow cannot address that store.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    path = str(project_root() / "mlflow.db")
    if re.search("[%?]", path):  # MLflow reads some addresses with and some without escapes
        raise StoreError(
            f"MLflow cannot keep its records in {quote(str(project_root()))}, whose name holds a "
            "% or a ?; rename the folder, or set MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{path}"


def hide_passwords(text: str) -> str:
    """Return a text with the passwords in its URLs replaced by ***."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1:***@", text)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without passwords."""
    return hide_passwords(str(error).strip().partition("\n")[0]) or type(error).__name__


def artifact_location(uri: str) -> str | None:
    """Return the URI of the artifact folder for a database; None for a server."""
    served = uri.startswith(("http:", "https:"))
    return None if served else (project_root() / "mlruns").as_uri()


@contextmanager
def lock() -> Iterator[None]:
    """Hold the repository's lock on its MLflow store, re-entrant within a thread.

    Raises:
        StoreError: another process holds it for ten minutes, or it cannot be created.
    """
    path = project_root() / ".mlflow.lock"
    held = FileLock(path, is_singleton=True)
    try:
        try:
            held.acquire(timeout=QUIET_SECONDS)
        except Timeout:
            print(f"waiting for another process that writes to MLflow ({path})", file=sys.stderr)
            held.acquire(timeout=LOCK_SECONDS - QUIET_SECONDS)
    except Timeout:
        raise _unusable(f"another process holds {path} for {LOCK_SECONDS} seconds") from None
    except OSError as error:
        raise _unusable(explain(error) or "") from None
    try:
        yield
    finally:
        held.release()


@contextmanager
def store_errors() -> Iterator[None]:
    """Convert errors of MLflow, its database or its artifact folder to StoreError.

    Every OSError is converted, so artifacts of the pipeline should be read before.
    """
    import alembic.util
    import mlflow
    import requests
    import sqlalchemy.exc

    try:
        yield
    except UserError:
        raise
    except alembic.util.CommandError as error:  # the schema is of a newer MLflow
        raise _unusable(_schema_problem(first_line(error))) from error
    except mlflow.MlflowException as error:
        text = first_line(error)
        schema = "database schema" in text
        raise _unusable(_schema_problem(text) if schema else _advised(text)) from error
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise _unusable(_advised(first_line(error))) from error
    except requests.RequestException as error:  # a subclass of OSError
        raise _unusable(first_line(error)) from error
    except ModuleNotFoundError as error:  # a database's driver
        raise _unusable(f"{error}; install it (for PostgreSQL: psycopg)") from error
    except OSError as error:
        raise _unusable(explain(error) or first_line(error)) from error


def _unusable(reason: str) -> StoreError:
    return StoreError(
        f"MLflow's store {hide_passwords(tracking_uri())} cannot be used: {hide_passwords(reason)}"
    )


def _schema_problem(text: str) -> str:
    from mlflow.version import VERSION

    known = re.search(r"version '?(\w+)|identified by '(\w+)'", text)
    revision = f" ({known[1] or known[2]})" if known else ""
    uri, file = tracking_uri(), sqlite_file(tracking_uri())
    remedy = f"; or {set_aside(file)}" if file is not None and is_default_store(uri) else ""
    return (
        f"its database schema{revision} is of another MLflow than the installed {VERSION}; if it "
        f"is older, `mlflow db upgrade {uri}` upgrades it{remedy}"
    )


def _advised(text: str) -> str:
    """Append the fix to an error of the database that has one."""
    file = sqlite_file(tracking_uri())
    if file is not None and ("malformed" in text or "not a database" in text):
        return f"{text}; {set_aside(file)}"
    return text


def is_default_store(uri: str) -> bool:
    """Whether a URI refers to the SQLite file of this repository."""
    file = sqlite_file(uri)
    return file is not None and file.resolve() == (project_root() / "mlflow.db").resolve()


def check_location(location: str) -> None:
    """Check that artifacts would be written to this repository.

    A store holds the absolute path of its artifacts, which is wrong after the repository was moved
    or copied.

    Args:
        location: URI of the artifacts of the experiment or of a run.

    Raises:
        StoreError: the location of the default store is not in this repository's mlruns/, or the
            folder of the artifacts of a shared store does not exist.
    """
    uri, parts = tracking_uri(), urlsplit(location)
    file = sqlite_file(uri)
    if parts.scheme not in ("", "file") or uri.startswith(("http:", "https:")):
        return
    folder, artifacts = Path(url2pathname(parts.path)), project_root() / "mlruns"
    if file is not None and is_default_store(uri):
        if not folder.resolve().is_relative_to(artifacts.resolve()):
            raise _unusable(
                f"its artifacts belong in {folder}, and this repository is {project_root()}, so "
                f"it was moved or copied; {set_aside(file)} from the artifacts at hand"
            )
    elif not any(candidate.exists() for candidate in (folder, *folder.parents[:3])):
        raise _unusable(f"its artifacts belong in {folder}, which does not exist; make that folder")


def connect() -> tuple["MlflowClient", str]:
    """Open the store, creating tables and experiment if they are missing.

    A lock prevents two processes from creating the tables at the same time.

    Returns:
        A client and the id of the experiment ``cxr14``.

    Raises:
        StoreError: the store cannot be opened, its server does not respond, or its artifacts
            belong to another repository.
    """
    os.environ.update({name: os.environ.get(name, ENVIRONMENT[name]) for name in ENVIRONMENT})
    uri = tracking_uri()
    with lock():
        try:
            check_store(uri)
        except StoreError as error:
            raise _unusable(str(error)) from None
        import mlflow
        import mlflow.store.db.utils

        for name, level in NOISY.items():
            logging.getLogger(name).setLevel(level)
        mlflow.store.db.utils.MAX_RETRY_COUNT = ATTEMPTS
        with store_errors():
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            client = mlflow.MlflowClient(uri, uri)
            experiment = _experiment(client, artifact_location(uri))
            check_location(client.get_experiment(experiment).artifact_location)
            return client, experiment


def _experiment(client: "MlflowClient", location: str | None) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on the runs
        return client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
    if experiment.lifecycle_stage != "active":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
