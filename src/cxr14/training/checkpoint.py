"""Checkpoints: where a training that was killed goes on.

One file per backbone in .scratch, outside of what DVC deletes before a rerun. It bears the identity
of its run (inputs, params and code) and how it computes, which `auto` leaves to the machine; that
of another run is never mixed in.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cxr14.files import replacing
from cxr14.training.device import Compute
from cxr14.training.session import Session

SECONDS = 60.0
"""Between two checkpoints, so that little is lost and little is written."""


class Checkpoint:
    """The checkpoint file of one run."""

    def __init__(self, path: Path, identity: str, seconds: float = SECONDS) -> None:
        """Name the file; nothing is read or written yet.

        Args:
            path: of the file.
            identity: of the run.
            seconds: between two checkpoints.
        """
        self.path, self.identity, self.seconds = path, identity, seconds
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for one. When it is written does not change any result."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, session: Session) -> None:
        """Write a checkpoint; the old one stays until the new one is whole and on disk."""
        with replacing(self.path) as temporary:
            facts = {"identity": self.identity, "compute": asdict(session.compute)}
            torch.save(facts | session.state(), temporary)
        self._last = time.monotonic()

    def resume(self, session: Session) -> str | None:
        """Bring a session to where its run was interrupted.

        Returns:
            A sentence for the user, or None if there is no checkpoint.
        """
        if not self.path.exists():
            return None
        try:
            # The file is our own, but nothing in it needs to run code to be read.
            device = session.compute.device
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
            identity, before = state.pop("identity"), Compute(**state.pop("compute"))
        except Exception as error:  # whatever a damaged disk left there, training starts anew
            return f"{self.path} cannot be read ({type(error).__name__}); training starts anew"
        if identity != self.identity:
            return (
                f"{self.path} is of a run with other params, inputs or code; it is not used, and "
                f"training starts anew"
            )
        if before != session.compute:  # the same weights, bit for bit, would not come out
            return (
                f"{self.path} was computed on {before}, and this training computes on "
                f"{session.compute}; it is not used, and training starts anew"
            )
        session.restore(state)
        done = session.progress
        return f"goes on from {self.path}: {done.epoch} epochs and {done.step} steps were done"

    def clear(self) -> None:
        """Remove the file, once the model is on disk."""
        self.path.unlink(missing_ok=True)
