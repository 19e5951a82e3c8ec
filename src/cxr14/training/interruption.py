"""Ctrl-C and SIGTERM end a training between two steps.

Of several processes, SIGTERM ends one at once: so their launcher ends those that wait for one that
has failed, and no handler of Python's would run while they wait.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AMONG_SEVERAL = (signal.SIGINT,)


class InterruptedTrainingError(Exception):
    """A signal ended the training; its checkpoint is on disk, if it could be written."""


class StopRequest:
    """Whether somebody asked for the end; the second signal ends at once."""

    def __init__(self) -> None:
        self.made = False

    def take(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        if self.made:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self.made = True


@contextmanager
def stop_request(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[StopRequest]:
    """Turn signals into a request while the training runs (in the main thread alone)."""
    request = StopRequest()
    before = {number: signal.signal(number, request.take) for number in signals}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
