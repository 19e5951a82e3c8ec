"""Who follows a training run from outside."""

from typing import Protocol


class Tracker(Protocol):
    """Somebody who follows a run; MLflow's is cxr14.tracking.runs.TrainingRun."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Take the row of one epoch."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Take the final numbers."""

    def fail(self) -> None:
        """Learn that the run ended without a model."""


class Nobody:
    """Follows in all processes but the first."""

    def log_epoch(self, row: dict[str, float]) -> None:
        """Do nothing."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def fail(self) -> None:
        """Do nothing."""
