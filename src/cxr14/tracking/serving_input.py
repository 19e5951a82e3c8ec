"""Input of the registered model: arrays, or base64 text of image files for JSON requests."""

import base64
import binascii
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from cxr14.errors import UserError
from cxr14.preprocessing.decode import LEAST_SIDE, Shrunk, shrink
from cxr14.preprocessing.photometry import remarks_on

COLUMN = "image"


class InputError(MlflowException, UserError):
    """Invalid input: a message in one sentence, and HTTP status 400 when served.

    The message is read-only: MLflow's server would prepend the whole request with all images to it,
    and write that to its log.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=BAD_REQUEST)

    @property
    def message(self) -> str:
        """The message."""
        return str(self.args[0])

    @message.setter
    def message(self, longer: str) -> None:
        """Ignore the new message."""


def images_of(given: Any, cached_size: int) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    """Return images as an array, and the remarks on each.

    Args:
        given: ``{"image": array}``, as in the signature: uint8 (B, S, S), grey as in
            data/cache, any S of at least 32; or base64 text (B,) of PNG or JPEG files, which are
            decoded, padded and shrunk as `preprocess` does it.
        cached_size: pixels per side to which files are shrunk.

    Returns:
        images: uint8 (B, S, S).
        remarks: names in cxr14.preprocessing.decode.REMARKS, the same as `preprocess` gives
            the file; for an array only "inverted" and "faint".

    Raises:
        InputError: it is neither, or an image cannot be decoded; names the first.
    """
    array = np.asarray(given[COLUMN])
    if array.dtype == np.uint8 and array.ndim == 3:
        _, height, width = array.shape
        if height != width or height < LEAST_SIDE:
            raise InputError(
                f"images of {height}x{width} pixels; give uint8 (B, S, S), S at least {LEAST_SIDE}"
            )
        return array, [remarks_on(image) for image in array]
    if array.dtype.kind not in "OUT" or array.ndim != 1:
        raise InputError(
            f"`{COLUMN}` is {array.dtype} {array.shape}; give base64 text of PNG or JPEG files, "
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
