"""A server as a child process that ends with this one, for MLflow's pages and the app."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType

from cxr14.errors import UserError

PATIENCE = 5  # seconds between SIGTERM and SIGKILL
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WATCHDOG = f"read _; kill -TERM -$0 && sleep {PATIENCE} && kill -KILL -$0"
"""Shell script that ends the process group $0 when its standard input is closed."""


def check_port(host: str, port: int, command: str) -> None:
    """Check that no other program listens on the port.

    Args:
        host: address.
        port: number.
        command: that takes ``--port``, for the error.

    Raises:
        UserError: the port cannot be used.
    """
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise UserError(
            f"port {port} of {host} cannot be used ({error.strerror}); choose another one: "
            f"{command} --port {port + 1}"
        ) from None


def run_group(line: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command in its own process group; end the group with it, or with this process.

    A signal that requests a stop ends it, with exit code 0. SIGKILL of this process closes the pipe
    to the watchdog.

    Returns:
        The exit code.
    """
    for name in STOP_SIGNALS:
        signal.signal(name, _exit)
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
