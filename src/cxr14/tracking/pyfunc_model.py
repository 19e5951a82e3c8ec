"""The registered model: uint8 radiographs in, a named probability per class out.

MLflow runs this file when it loads the model (models from code). The package travels with
the model, the weights are plain safetensors, and nothing is pickled.
"""

from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from cxr14.models.inputs import prepare
from cxr14.models.store import load_model

SMALLEST = 32  # pixels per side
BATCH = 64  # images per forward pass; bounds the memory, never changes the result


class Radiographs(PythonModel):
    """A trained backbone with its head, on the CPU, in fp32."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from the artifacts of the model."""
        self.network, self.description = load_model(context.artifacts["model"])

    # MLflow reads the hints: for a bare np.ndarray it leaves the schema to the signature.
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Score radiographs.

        Args:
            context: as in load_context.
            model_input: uint8 (B, S, S), any B, any S of at least 32; grey, as in data/cache.
            params: none is known; MLflow passes it.

        Returns:
            float32 (B, C): a probability per class of the model, uncalibrated.

        Raises:
            ValueError: the images are not square, or smaller than 32 pixels.
        """
        _, height, width = model_input.shape
        if height != width or height < SMALLEST:
            raise ValueError(
                f"images of {height}x{width} pixels; give uint8 (B, S, S), S at least {SMALLEST}"
            )
        starts = range(0, len(model_input), BATCH)
        scored = [self._score(model_input[start : start + BATCH]) for start in starts]
        classes = self.description["classes"]
        nothing = np.empty((0, len(classes)), np.float32)  # no images, no rows
        return pd.DataFrame(np.concatenate([nothing, *scored]), columns=classes)

    @torch.inference_mode()
    def _score(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        batch = torch.from_numpy(np.array(images))  # a copy: the input may be read only
        logits = self.network(prepare(batch, self.description["input_size"]))
        scored: npt.NDArray[np.float32] = logits.sigmoid().numpy()
        return scored


mlflow.models.set_model(Radiographs())
