"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time.

Importing mlflow takes seconds, so modules import it inside functions, except for those that run
where a model is loaded: ``pyfunc_model`` and ``serving_input``.
"""

from collections.abc import Iterable
from typing import Final

MODEL_ARTIFACT: Final = "model"
"""Prefix of the artifacts that are folders of networks."""

REMARKS: Final = "remarks"
"""Column of the remarks on each image."""


def spread_columns(classes: Iterable[str]) -> list[str]:
    """Return the columns of the standard deviation over the networks of an ensemble."""
    return [f"spread {name}" for name in classes]
