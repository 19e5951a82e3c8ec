"""The registered model: a pyfunc from radiographs to probabilities by class.

MLflow runs this file when it loads the model (models from code). The package travels with the
model, the weights are plain safetensors, and nothing is pickled.
"""

import base64
import binascii
import math
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from cxr14.errors import UserError
from cxr14.io import read_json
from cxr14.models.serialization import load_model
from cxr14.preprocessing.decode import LEAST_SIDE, Shrunk, shrink
from cxr14.preprocessing.photometry import remarks_on
from cxr14.tracking import MODEL_ARTIFACT, REMARKS, spread_columns
from cxr14.training.augment import NO_VIEWS, view_inputs, views_of

BATCH = 64  # images per forward pass; limits the memory, does not change the result


class InputError(MlflowException, UserError):
    """Invalid input: a message in one sentence, and HTTP status 400 when served.

    The message is read-only, because MLflow's server would prepend the request with all its images
    and log it.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=BAD_REQUEST)

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self.args[0])

    @message.setter
    def message(self, longer: str) -> None:
        """Keep the sentence."""


def images_of(given: Any, cached_size: int) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    """Return images as an array, and the remarks on each.

    Args:
        given: ``{"image": array}``, as in the signature: uint8 (B, S, S), grey as in
            data/cache, S at least 32; or base64 text (B,) of PNG or JPEG files, which are
            decoded, padded and shrunk as in `preprocess`.
        cached_size: pixels per side to which files are shrunk.

    Returns:
        images: uint8 (B, S, S).
        remarks: names in cxr14.preprocessing.decode.REMARKS, the same as in `preprocess`; for an
            array only "inverted" and "faint".

    Raises:
        InputError: the input is neither, or an image cannot be decoded; names the first.
    """
    array = np.asarray(given["image"])
    if array.dtype == np.uint8 and array.ndim == 3:
        _, height, width = array.shape
        if height != width or height < LEAST_SIDE:
            raise InputError(
                f"images of {height}x{width} pixels; give uint8 (B, S, S), S at least {LEAST_SIDE}"
            )
        return array, [remarks_on(image) for image in array]
    if array.dtype.kind not in "OUT" or array.ndim != 1:
        raise InputError(
            f"`image` is {array.dtype} {array.shape}; give base64 text of PNG or JPEG files, "
            "or in Python a uint8 array (B, S, S)"
        )
    shrunk = [shrink_text(text, cached_size, f"image {row}") for row, text in enumerate(array)]
    images = [decoded.pixels for decoded in shrunk] or np.empty((0, cached_size, cached_size))
    return np.asarray(images, np.uint8), [list(decoded.remarks) for decoded in shrunk]


def shrink_text(text: Any, size: int, name: str) -> Shrunk:
    """Decode and shrink one base64 image; `name` is for the error."""
    if not isinstance(text, str):
        missing = text is None or (isinstance(text, float) and math.isnan(text))  # null in JSON
        given = "missing" if missing else f"of type {type(text).__name__}"
        raise InputError(f"{name}: {given}; give base64 text of a PNG or JPEG file")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: a letter that is not ASCII
        raise InputError(f"{name}: not base64 ({error}); encode the file's bytes") from None
    try:
        return shrink(content, size, name)
    except UserError as error:
        raise InputError(str(error)) from None


class Radiographs(PythonModel):
    """A trained backbone with its head, or an ensemble of them, on the CPU, in fp32."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the networks and thresholds from the artifacts of the model.

        Thresholds that were chosen with test-time augmentation are used with it.
        """
        named = sorted(context.artifacts.items())
        self.members = [load_model(path) for name, path in named if name.startswith(MODEL_ARTIFACT)]
        self.classes: list[str] = self.members[0][1]["classes"]
        decision = read_json(context.artifacts["decision"])
        self.thresholds, tta = decision["thresholds"], decision.get("tta")
        self.views = [views_of(model) if tta else NO_VIEWS for _, model in self.members]
        self.cached_size = int(context.model_config["cached_size"])

    # MLflow reads the type hint: with np.ndarray it applies only the signature, which names the
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
            model_input: ``{"image": array}``, see :func:`images_of`.
            params: ``{"decide": True}`` adds the column ``above_threshold``.

        Returns:
            float32 (B, classes): a probability per class of model.json, uncalibrated. An
            ensemble returns the mean over its networks, and in `spread <class>` their standard
            deviation (0 to .5, without Bessel's correction).
            `remarks`: per image a list of names in
            :data:`cxr14.preprocessing.decode.REMARKS`. The probabilities of an image with a
            remark such as inverted or faint are unreliable.
            `above_threshold`, with `decide`: per image a list of the classes at or above their
            threshold, which was chosen on validation. Classes without a threshold are excluded.

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
        scored = []
        for (network, description), views in zip(self.members, self.views, strict=True):
            inputs = view_inputs(batch, description["input_size"], views)
            logits = torch.stack([network(view) for view in inputs])
            scored.append(logits.sigmoid().mean(dim=0).numpy())
        return np.stack(scored)

    def _decide(self, probabilities: npt.NDArray[np.float32]) -> list[str]:
        pairs = zip(self.classes, probabilities, strict=True)
        limits = {name: limit for name, limit in self.thresholds.items() if limit is not None}
        return [name for name, value in pairs if name in limits and value >= limits[name]]


mlflow.models.set_model(Radiographs())
