"""Names that whoever packs a registered model shares with the model itself."""

from collections.abc import Iterable
from typing import Final

MODEL: Final = "model"
"""Begins the name of every artifact that is a network's folder."""

REMARKS: Final = "remarks"
"""The column that says what is odd about each image."""


def spread_columns(classes: Iterable[str]) -> list[str]:
    """Name the columns that say how far an ensemble's networks lie apart."""
    return [f"spread {name}" for name in classes]
