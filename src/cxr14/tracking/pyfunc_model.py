"""The registered model: a pyfunc from radiographs to calibrated probabilities by class.

MLflow runs this file when it loads the model (models from code). The package travels with the
model, the weights are plain safetensors, and nothing is pickled.

`mlflow models serve` limits neither the size of a request nor their number, and computes several at
once. So images are decoded and scored for one request at a time, in the memory of one.
"""

import base64
import binascii
import io
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from PIL import Image

from cxr14.datasets.archive_kinds import IMAGE_BYTES
from cxr14.errors import UserError, quote
from cxr14.localization.heatmaps import heat_of
from cxr14.localization.overlap import BOX
from cxr14.preprocessing.decode import LEAST_SIDE, Shrunk
from cxr14.serving.description import PHANTOM_MODEL, read_serving
from cxr14.serving.files import Failure, Input, decode_input
from cxr14.serving.input_check import InputCheck
from cxr14.serving.predictor import Predictor
from cxr14.serving.refusals import as_shrunk
from cxr14.serving.results import Batch, pairs_to_explain, score_inputs
from cxr14.tracking import (
    ABOVE_THRESHOLD,
    BOXES,
    DECISION_ARTIFACT,
    HEATMAPS,
    INPUT_CHECK_ARTIFACT,
    MODEL_ARTIFACT,
    NOTE,
    REFUSALS,
    REMARKS,
    SERVING_ARTIFACT,
    spread_columns,
)

TEXT_LENGTH: Final = IMAGE_BYTES * 7 // 5
"""Maximum length of an image's base64 text, with line breaks."""

FORMATS: Final = "a PNG, JPEG or DICOM file"

CALLED: Final = "called"
"""Value of the param `heatmaps` for the findings at or above their threshold."""

MOST_HEATMAPS: Final = 200
"""Maximum number of heatmaps in a response: about 2 MB of PNG."""

BOX_COLUMNS: Final = ["finding", "heat_threshold", *BOX, "score"]


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


def read_inputs(given: Any, size: int) -> list[Input]:
    """Read the images of a request.

    Args:
        given: ``{"image": array}``, as in the signature: uint8 (B, S, S), grey as in
            data/cache, S at least 32; or base64 text (B,) of PNG, JPEG or DICOM files, which are
            decoded, padded and shrunk as in `preprocess`.
        size: pixels per side of the cached image.

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
        shrunk = [replace(as_shrunk(pixels), scale=size / width) for pixels in array]
        return [Input(f"image {row}", image) for row, image in enumerate(shrunk)]
    if array.dtype.kind not in "OUT" or array.ndim != 1:
        raise InputError(
            f"`image` is {array.dtype} {array.shape}; give base64 text of PNG, JPEG or DICOM "
            "files, or in Python a uint8 array (B, S, S)"
        )
    return [decode_text(text, size, f"image {row}") for row, text in enumerate(array)]


def decode_text(text: Any, size: int, name: str) -> Input:
    """Decode one base64 image; `name` is for the error."""
    if not isinstance(text, str):
        missing = text is None or (isinstance(text, float) and math.isnan(text))  # null in JSON
        given = "missing" if missing else f"of type {type(text).__name__}"
        raise InputError(f"{name}: {given}; give base64 text of {FORMATS}")
    if len(text) > TEXT_LENGTH:
        raise InputError(f"{name}: over {IMAGE_BYTES} bytes; an image has at most that many")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: a letter that is not ASCII
        raise InputError(f"{name}: not base64 ({error}); encode the file's bytes") from None
    decoded = decode_input(content, size, name)
    if isinstance(decoded, Failure):
        raise InputError(f"{name}: {decoded.reason}")
    return decoded


class Radiographs(PythonModel):
    """A trained backbone with its head, or an ensemble of them, on the GPU if there is one."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load networks, decision, description and input check from the artifacts of the model."""
        artifacts = {name: Path(path) for name, path in sorted(context.artifacts.items())}
        folders = [path for name, path in artifacts.items() if name.startswith(MODEL_ARTIFACT)]
        description = read_serving(artifacts[SERVING_ARTIFACT])
        self.predictor = Predictor.load(folders, artifacts[DECISION_ARTIFACT], description)
        self.check = InputCheck.load(artifacts[INPUT_CHECK_ARTIFACT])
        about = f"{PHANTOM_MODEL}; " if description.phantom else ""
        self.note = f"{about}not a medical device"
        self.lock = threading.Lock()

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
            model_input: ``{"image": array}``, see :func:`read_inputs`.
            params: ``calibrated`` (true by default), ``decide``, ``force`` and ``heatmaps``, see
                below.

        Returns:
            Per image:

            - a calibrated probability per class; with ``calibrated`` false that of the network
              before Platt scaling, or the mean over the networks of an ensemble. None of a class
              without Platt scaling, if calibrated.
            - ``spread <class>``, of an ensemble: the standard deviation over its networks of the
              uncalibrated probabilities (0 to .5, without Bessel's correction).
            - ``remarks``: names in :data:`cxr14.preprocessing.decode.REMARKS`; for an array only
              inverted and faint.
            - ``refusals``: why it is no frontal chest radiograph like those of the training, see
              :func:`cxr14.serving.refusals.refusals`. The other columns but ``remarks`` and
              ``note`` are then None, unless ``force`` is true.
            - ``note``: phantom, if the model is; not a medical device.
            - ``above_threshold``, with ``decide``: the classes at or above their threshold, which
              was chosen on validation, on uncalibrated probabilities. Classes without a threshold
              are excluded.
            - ``heatmaps`` and ``boxes``, with ``heatmaps``, a list of findings or ["called"]: see
              :meth:`_explain`.

        Raises:
            InputError: the input is not as described, in one sentence.
        """
        options = params or {}
        wanted = self._wanted(options.get("heatmaps", []))
        with self.lock:
            inputs = read_inputs(model_input, self.predictor.description.cached_size)
            force = options.get("force", False)
            scores = score_inputs(self.predictor, self.check, inputs, force)
            table = self._numbers(scores, calibrated=options.get("calibrated", True))
            facts = scores.iloc[:: len(self.predictor.classes)].reset_index(drop=True)
            table[[REMARKS, REFUSALS]] = facts[["remarks", "refusals"]]
            table[NOTE] = self.note
            if options.get("decide", False):
                table[ABOVE_THRESHOLD] = as_objects(self._called(scores))
            if wanted:
                heatmaps, boxes = self._explain(Batch(scores, inputs, []), wanted)
                table[HEATMAPS], table[BOXES] = as_objects(heatmaps), as_objects(boxes)
        return table

    def _numbers(self, scores: pd.DataFrame, calibrated: bool) -> pd.DataFrame:
        """Return the numbers by class, one row per image; None where there is none."""
        classes = self.predictor.classes
        shape = -1, len(classes)
        chosen = scores["probability" if calibrated else "uncalibrated"]
        table = pd.DataFrame(chosen.to_numpy(np.float64).reshape(shape), columns=[*classes])
        if len(self.predictor.members) > 1:
            table[spread_columns(classes)] = scores["spread"].to_numpy(np.float64).reshape(shape)
        incomplete = table.columns[table.isna().any()]
        values = table[incomplete].astype(object)
        return table.assign(**values.where(values.notna(), None))  # JSON has no NaN

    def _called(self, scores: pd.DataFrame) -> list[list[str] | None]:
        """Return the classes at or above their threshold by image; None if it is refused."""
        names, shape = np.array(self.predictor.classes, object), (-1, len(self.predictor.classes))
        above = scores["called"].to_numpy(bool, na_value=False).reshape(shape)
        is_scored = scores["uncalibrated"].notna().to_numpy().reshape(shape)[:, 0]
        return [
            names[row].tolist() if scored else None
            for row, scored in zip(above, is_scored, strict=True)
        ]

    def _wanted(self, findings: Sequence[str]) -> list[str]:
        """Check the findings of the param `heatmaps`."""
        allowed = [*self.predictor.findings, CALLED]
        for name in findings:
            if name not in allowed:
                raise InputError(f"heatmaps: {quote(name)} is none of {', '.join(allowed)}")
        return list(findings)

    def _explain(
        self, batch: Batch, wanted: Sequence[str]
    ) -> tuple[list[dict[str, str] | None], list[list[dict[str, Any]] | None]]:
        """Compute heatmaps, and detect boxes in them.

        Returns:
            Per image, None if it is refused:

            - by finding base64 text of a grey PNG, see :func:`heat_png`.
            - a dictionary per box: finding, heat_threshold, x, y, width, height (pixels of the
              file) and score (highest heat inside, 0–255).
        """
        pairs = self._pairs(batch, wanted)
        scored = batch.table.loc[batch.table["uncalibrated"].notna(), "image"].unique().tolist()
        heatmaps: dict[str, dict[str, str]] = {name: {} for name in scored}
        boxes: dict[str, list[dict[str, Any]]] = {name: [] for name in scored}
        if len(pairs):
            images = np.stack([item.shrunk.pixels for item in batch.inputs])
            grids = self.predictor.heatmaps(images, pairs)
            size, scaling = self.predictor.description.cached_size, self.predictor.scaling()
            for (_, pair), grid in zip(pairs.iterrows(), grids, strict=True):
                (heat,) = heat_of(grid[None], size, scaling)
                picture = heat_png(heat, batch.inputs[pair["row"]].shrunk)
                heatmaps[pair["image"]][pair["finding"]] = picture
            for box in self.predictor.detect(pairs, grids).to_dict("records"):
                boxes[box["image"]].append({name: box[name] for name in BOX_COLUMNS})
        names = [item.name for item in batch.inputs]
        return [heatmaps.get(name) for name in names], [boxes.get(name) for name in names]

    def _pairs(self, batch: Batch, wanted: Sequence[str]) -> pd.DataFrame:
        """List the pairs of image and finding that get a heatmap; see pairs_to_explain."""
        named = [name for name in wanted if name != CALLED]
        parts = [pairs_to_explain(batch, self.predictor, named)] if named else []
        parts += [pairs_to_explain(batch, self.predictor)] if CALLED in wanted else []
        pairs = pd.concat(parts).drop_duplicates(["row", "finding"])
        if len(pairs) > MOST_HEATMAPS:
            raise InputError(
                f"heatmaps: {len(pairs)} in one response, at most {MOST_HEATMAPS} are returned; "
                f"send fewer images"
            )
        return pairs


def heat_png(heat: npt.NDArray[np.float32], shrunk: Shrunk) -> str:
    """Return a heatmap as base64 text of a grey PNG, 0–255.

    It covers the image without its padding. Stretched to the size of the file, it lies over it.

    Args:
        heat: float32 (S, S), 0–255, of the cached image.
        shrunk: the image.
    """
    rows = covered(shrunk.offset_y, shrunk.source_height * shrunk.scale, len(heat))
    columns = covered(shrunk.offset_x, shrunk.source_width * shrunk.scale, len(heat))
    buffer = io.BytesIO()
    Image.fromarray(heat[rows, columns].round().astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def covered(offset: float, length: float, size: int) -> slice:
    """Return the pixels of 0 to size that an image covers along an axis: one at least."""
    first = min(round(offset), size - 1)
    return slice(first, max(round(offset + length), first + 1))


def as_objects(values: Sequence[Any]) -> "pd.Series[Any]":
    """Return a column of lists and dictionaries."""
    return pd.Series(list(values), dtype=object)


mlflow.models.set_model(Radiographs())
