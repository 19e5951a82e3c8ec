"""The registered model: radiographs in, named probabilities out.

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

from cxr14.files import read_json
from cxr14.models.inputs import prepare
from cxr14.models.store import load_model
from cxr14.tracking.serving_input import images_of

BATCH = 64  # images per forward pass; bounds the memory, never changes the result


class Radiographs(PythonModel):
    """A trained backbone with its head, on the CPU, in fp32."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from the artifacts of the model."""
        self.network, self.description = load_model(context.artifacts["model"])
        self.thresholds = read_json(context.artifacts["decision"])["thresholds"]
        self.cached_size = int(context.model_config["cached_size"])

    # MLflow reads the hint: only for a bare np.ndarray it leaves all to the signature, which
    # names the array, so that what comes is {"image": array}.
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Score radiographs.

        Args:
            context: as in load_context.
            model_input: ``{"image": array}``, see :func:`cxr14.tracking.serving_input.images_of`.
            params: ``{"decide": True}`` adds the column ``above_threshold``.

        Returns:
            float32 (B, classes): a probability per class of model.json, uncalibrated. With
            `decide` also a list, per image, of the classes at or above their threshold, which
            was chosen on validation; a class without a threshold is never in it.

        Raises:
            InputError: the input is not as described, in one sentence.
        """
        images = images_of(model_input, self.cached_size)
        classes = self.description["classes"]
        starts = range(0, len(images), BATCH)
        scored = [self._score(images[start : start + BATCH]) for start in starts]
        nothing = np.empty((0, len(classes)), np.float32)  # no images, no rows
        table = pd.DataFrame(np.concatenate([nothing, *scored]), columns=classes)
        if (params or {}).get("decide"):
            table["above_threshold"] = [self._decide(row) for row in table.to_numpy()]
        return table

    @torch.inference_mode()
    def _score(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        batch = torch.from_numpy(np.array(images))  # a copy: the input may be read only
        logits = self.network(prepare(batch, self.description["input_size"]))
        scored: npt.NDArray[np.float32] = logits.sigmoid().numpy()
        return scored

    def _decide(self, probabilities: npt.NDArray[np.float32]) -> list[str]:
        pairs = zip(self.description["classes"], probabilities, strict=True)
        limits = {name: limit for name, limit in self.thresholds.items() if limit is not None}
        return [name for name, value in pairs if name in limits and value >= limits[name]]


mlflow.models.set_model(Radiographs())
