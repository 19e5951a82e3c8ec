"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time.

Importing mlflow takes seconds, so modules import it inside functions, except for ``pyfunc_model``,
which MLflow runs where it loads the model.
"""

from collections.abc import Iterable
from typing import Final

MODEL_ARTIFACT: Final = "model"
"""Prefix of the artifacts of a registered model that are folders of networks."""

REMARKS: Final = "remarks"
"""Column of the remarks on each image."""


def spread_columns(classes: Iterable[str]) -> list[str]:
    """Return the columns of the standard deviation over the networks of an ensemble."""
    return [f"spread {name}" for name in classes]
