"""Quick checks of an MLflow store before MLflow opens it.

MLflow itself retries for minutes on a store that is locked, damaged or unreachable, and writes a
traceback for each attempt.
"""

import os
import shlex
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cxr14.errors import UserError, full_disk

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

LOCK_SECONDS = 10.0
"""How long another process may lock a SQLite store."""

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""

ANSWER_SECONDS = 10.0
"""How long an MLflow server may take to answer that it is up."""

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Databases with a server, and the port of each."""


class StoreError(UserError):
    """MLflow's store cannot be used. The store is only a view: no artifact is affected."""


def check_store(uri: str) -> None:
    """Raise StoreError within seconds if a store is known to be unusable."""
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
        return min(float(str(chosen)), LOCK_SECONDS) if chosen else LOCK_SECONDS
    except ValueError:
        raise StoreError(f"timeout={chosen} in its URI is no number of seconds") from None


def _check_sqlite(file: Path, seconds: float) -> None:
    """Read every page, and begin a write that is rolled back; a missing file is created empty."""
    if file.exists() and not file.is_file():
        raise StoreError(f"{file} is no regular file; move it away")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=seconds, isolation_level=None)) as database:
            # It writes the header again, so the journal is created, too, as for a real write.
            version = database.execute("pragma user_version").fetchone()[0]
            database.execute("begin immediate")
            database.execute(f"pragma user_version = {int(version)}")
            database.execute("rollback")
            (found,) = database.execute("pragma quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(_sqlite_problem(file, str(error))) from None
    if found != "ok":
        raise StoreError(_sqlite_problem(file, f"malformed: {found}"))


def _sqlite_problem(file: Path, reason: str) -> str:
    """Say what is wrong with a SQLite file and what to do."""
    text = " ".join(reason.split())
    if "locked" in text:
        return f"{text}; another process holds {file}: end it, or wait for it"
    if "disk is full" in text:
        return f"{text}: {full_disk(file)}"
    if "not a database" in text or "malformed" in text:
        return f"{text}; {set_aside(file)}"
    return f"{text}; check that {file} and its folder can be written"


def set_aside(file: Path) -> str:
    """Say how to replace a store by one that is made from the artifacts."""
    aside = file.with_name(f"{file.name}.old")
    command = shlex.join(["mv", str(file), str(aside)])
    return f"set it aside (`{command}`), and `make register` makes it again"


def _check_database_server(url: "URL") -> None:
    default = PORTS.get(url.get_backend_name())
    if default is None or url.host is None:  # a Unix socket answers at once
        return
    port = url.port or default
    try:
        socket.create_connection((url.host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise StoreError(f"no server accepts connections at {url.host}:{port} ({error})") from None


def _check_server(uri: str) -> None:
    """Ask an MLflow server whether it is up; any answer will do, a demand for a password too."""
    import requests

    try:
        parts = urlsplit(uri)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        address = uri.rstrip("/") + "/health"
        verify = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1")
        requests.get(address, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), verify=verify).close()
    except requests.exceptions.SSLError:
        return  # MLflow has more settings for certificates, and says what is wrong
    except requests.Timeout:
        raise StoreError(f"the server {host} does not answer within seconds") from None
    except (requests.ConnectionError, requests.exceptions.ProxyError):
        raise StoreError(f"no server accepts connections at {host}") from None
    except (requests.RequestException, ValueError):
        raise StoreError("it is no address of a server (example: http://127.0.0.1:5000)") from None
