"""The registered model: a pyfunc from radiographs to probabilities by class.

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

from cxr14.io import read_json
from cxr14.models.inference import prepare
from cxr14.models.serialization import load_model
from cxr14.tracking import MODEL_ARTIFACT, REMARKS, spread_columns
from cxr14.tracking.serving_input import images_of

BATCH = 64  # images per forward pass; limits the memory, does not change the result


class Radiographs(PythonModel):
    """A trained backbone with its head, or an ensemble of them, on the CPU, in fp32."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the networks and thresholds from the artifacts of the model."""
        named = sorted(context.artifacts.items())
        self.members = [load_model(path) for name, path in named if name.startswith(MODEL_ARTIFACT)]
        self.classes: list[str] = self.members[0][1]["classes"]
        self.thresholds = read_json(context.artifacts["decision"])["thresholds"]
        self.cached_size = int(context.model_config["cached_size"])

    # MLflow reads the type hint: np.ndarray makes it apply the signature alone, which names the
    # array, so that the input is {"image": array}.
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
            float32 (B, classes): a probability per class of model.json, uncalibrated. An
            ensemble returns the mean over its networks, and in `spread <class>` their standard
            deviation (0 to .5, without Bessel's correction).
            `remarks`: per image a list of names in
            :data:`cxr14.preprocessing.decode.REMARKS`. Images with a remark such as inverted or
            faint are scored, but their probabilities are unreliable.
            With `decide` also a list, per image, of the classes at or above their threshold,
            which was chosen on validation. Classes without a threshold are never in it.

        Raises:
            InputError: the input is not as described, in one sentence.
        """
        images, remarks = images_of(model_input, self.cached_size)
        starts = range(0, len(images), BATCH)
        scored = [self._score(images[start : start + BATCH]) for start in starts]
        nothing = np.empty((len(self.members), 0, len(self.classes)), np.float32)
        probabilities = np.concatenate([nothing, *scored], axis=1)  # (members, B, classes)
        table = pd.DataFrame(probabilities.mean(axis=0), columns=self.classes)
        decided = [self._decide(row) for row in table.to_numpy()]
        if len(self.members) > 1:
            table[spread_columns(self.classes)] = probabilities.std(axis=0)
        table[REMARKS] = pd.Series(remarks, dtype=object)
        if (params or {}).get("decide"):
            table["above_threshold"] = decided
        return table

    @torch.inference_mode()
    def _score(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        batch = torch.from_numpy(np.array(images))  # a copy: the input may be read only
        scored = [
            network(prepare(batch, description["input_size"])).sigmoid().numpy()
            for network, description in self.members
        ]
        return np.stack(scored)

    def _decide(self, probabilities: npt.NDArray[np.float32]) -> list[str]:
        pairs = zip(self.classes, probabilities, strict=True)
        limits = {name: limit for name, limit in self.thresholds.items() if limit is not None}
        return [name for name, value in pairs if name in limits and value >= limits[name]]


mlflow.models.set_model(Radiographs())
