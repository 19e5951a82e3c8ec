"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time.

Importing mlflow takes seconds, so modules import it inside functions, except for ``pyfunc_model``,
which MLflow runs where it loads the model.
"""

from collections.abc import Iterable
from typing import Final

MODEL_ARTIFACT: Final = "model"
"""Prefix of the artifacts of a registered model that are folders of networks."""

DECISION_ARTIFACT: Final = "decision"
SERVING_ARTIFACT: Final = "serving"
INPUT_CHECK_ARTIFACT: Final = "input_check"

REMARKS: Final = "remarks"
"""Column of the remarks on each image."""

REFUSALS: Final = "refusals"
"""Column of the reasons for which an image has no scores."""

NOTE: Final = "note"
"""Column of what the scores must not be used for, and whether the model is of phantoms."""

ABOVE_THRESHOLD: Final = "above_threshold"
"""Column of the classes at or above their threshold, on request."""

HEATMAPS: Final = "heatmaps"
"""Column of the heatmaps by finding, on request."""

BOXES: Final = "boxes"
"""Column of the boxes in the heatmaps, on request."""


def spread_columns(classes: Iterable[str]) -> list[str]:
    """Return the columns of the standard deviation over the networks of an ensemble."""
    return [f"spread {name}" for name in classes]
