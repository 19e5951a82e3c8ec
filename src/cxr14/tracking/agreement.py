"""Does a model that was loaded back from the registry reproduce its own predictions?"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.data.cache import open_cache, rows_of
from cxr14.errors import UserError
from cxr14.evaluation.stored import read_predictions
from cxr14.tracking.artifacts import Trained

IMAGES = 8
TOLERANCE = 1e-4


class Predictor(Protocol):
    """Anything that scores images, such as a loaded pyfunc."""

    def predict(self, data: npt.NDArray[np.uint8]) -> pd.DataFrame:
        """Score uint8 (B, S, S); columns as in model.json."""


def check_agreement(model: Predictor, trained: Trained) -> None:
    """Compare the model's probabilities with the pipeline's, on a few images of the cache.

    Raises:
        UserError: they differ by more than 1e-4 anywhere, or there is nothing to compare.
    """
    images, index = open_cache(trained.cache)
    expected = read_predictions(trained.predictions, trained.model["classes"])
    if expected.empty:
        raise UserError(f"{trained.predictions} is empty: {trained.backbone} cannot be checked")
    chosen = np.unique(np.linspace(0, len(expected) - 1, IMAGES).round().astype(int))
    few = expected.iloc[chosen]
    scored = model.predict(np.asarray(images[rows_of(index, few.image)]))
    classes = trained.model["classes"]
    columns = [f"probability {name}" for name in classes]
    difference = np.abs(scored[classes].to_numpy() - few[columns].to_numpy())
    if not difference.max() <= TOLERANCE:  # NaN is no agreement either
        row, column = np.unravel_index(
            np.argmax(np.nan_to_num(difference, nan=2)), difference.shape
        )
        raise UserError(
            f"{trained.backbone} as loaded back from the registry differs from "
            f"{trained.predictions} by {difference[row, column]:.2g} (allowed {TOLERANCE}) in "
            f"{classes[column]} of {few.image.iloc[row]}; champion stays as it was. Recompute with "
            f"`dvc repro evaluate@{trained.backbone}`"
        )
