"""Checkpoints and the identity of a training run.

A run has one file in .scratch of the original repository, which DVC neither deletes before a rerun
nor copies into the workspace of an experiment. Its name contains the run's identity (inputs,
params, code and computation), so it is never used by another run, nor overwritten.
"""

import hashlib
import json
import sys
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from cxr14.errors import UserError, explain
from cxr14.io import replacing
from cxr14.training.engine import Session


class Checkpoint:
    """The checkpoint file of one run."""

    def __init__(self, folder: Path, name: str, identity: str, seconds: float) -> None:
        """Name the file; nothing is read or written yet.

        Args:
            folder: of the file.
            name: of the run.
            identity: of the run, hex digits.
            seconds: between two checkpoints.
        """
        self.path = folder / f"{name}-{identity[:16]}.pt"
        self.seconds, self._name = seconds, name
        self._last = time.monotonic()
        self._warned = False

    @property
    def due(self) -> bool:
        """Whether it is time to save. The time of a checkpoint does not change any result."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, session: Session) -> bool:
        """Write a checkpoint; the old one stays until the new one is complete.

        If that fails (a full disk, a folder without write permission) training goes on, and the
        first failure is a warning.

        Returns:
            Whether it is written.
        """
        state = session.state()
        self._last = time.monotonic()
        try:
            with replacing(self.path) as temporary:
                torch.save(state, temporary)
        except (UserError, OSError, RuntimeError) as error:  # torch's writer raises the last
            if not self._warned:
                self._warned = True
                kept = "the last one stays" if self.path.exists() else "there is none yet"
                print(
                    f"warning: no checkpoint ({explain(error) or error}); {kept}, and training "
                    f"goes on",
                    file=sys.stderr,
                )
            return False
        return True

    def resume(self, session: Session) -> str | None:
        """Restore the session of an interrupted run.

        Returns:
            A sentence for the user, or None if there is no checkpoint.
        """
        try:
            content = BytesIO(self.path.read_bytes())
        except FileNotFoundError:  # a missing network share is another error
            return self._unused_checkpoints()
        try:
            # To the CPU first: the memory of a GPU may not suffice for two copies.
            state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
        except Exception as error:  # of any kind: the file is damaged
            kept = self.path.with_suffix(".damaged")
            with suppress(FileNotFoundError):  # another rank was faster
                self.path.replace(kept)
            return f"{kept} cannot be read ({type(error).__name__}); starts from the beginning"
        session.restore(state)
        done = session.progress
        return f"goes on from {self.path}: {done.epoch} epochs and {done.step} steps were done"

    def _unused_checkpoints(self) -> str | None:
        others = sorted(path.name for path in self.path.parent.glob(f"{self._name}-*.pt"))
        if not others:
            return None
        return (
            f"starts from the beginning: {', '.join(others)} in {self.path.parent} is of a run "
            f"with other params, inputs or code or on another kind of machine, and not used"
        )

    def clear(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


NOT_RESULTS = (
    "cxr14.config",  # its values are in the params
    "cxr14.console",
    "cxr14.errors",
    "cxr14.report",
    "cxr14.tracking",
)
"""Modules that cannot change a result."""


def code_hash() -> str:
    """Hash the source of every cxr14 module imported so far, in the order of their names."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        ours = name == "cxr14" or name.startswith("cxr14.")
        if ours and not name.startswith(NOT_RESULTS) and module.__file__:
            digest.update(name.encode() + b"\0" + Path(module.__file__).read_bytes())
    return digest.hexdigest()


def run_identity(
    inputs: dict[str, str], params: dict[str, Any], code: str, computed: dict[str, Any]
) -> str:
    """Return the identity of a run: if all four are equal, so are its 64 hex digits.

    Args:
        inputs: SHA-256 by file.
        params: as in params.yaml, with `auto`.
        code: see :func:`code_hash`.
        computed: device, precision, memory format and version of torch, resolved for the machine.
    """
    facts = {"inputs": inputs, "params": params, "code": code, "computed": computed}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
