"""Worker processes that do not outlive the stage which started them."""

import os
import signal
from multiprocessing import connection, parent_process
from threading import Thread


def end_with_parent() -> None:
    """Let this worker die with the stage: at once at Ctrl-C, and when the stage is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=[parent.sentinel], daemon=True).start()


def _exit_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
