"""What the registered model takes and returns, as MLflow records it with the model."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxr14.tracking import NOTE, REFUSALS, REMARKS, spread_columns

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

PARAMS: dict[str, tuple[str, Any]] = {
    "calibrated": ("boolean", True),
    "decide": ("boolean", False),
    "force": ("boolean", False),
    "heatmaps": ("string", []),
}
"""Type and default of each param of `predict`; a list holds any number of values of the type."""


def signature(classes: list[str], ensemble: bool = False) -> "ModelSignature":
    """Return the signature: images in; per image a number by class, remarks and refusals out.

    An ensemble also returns the standard deviation over its networks by class. A number is null if
    the image is refused, or the class has no calibration. Columns on request are not in it.

    MLflow accepts both base64 texts (B,) and uint8 (B, S, S) only for an input of type `object`
    with one free dimension. The model checks the input itself.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    images = Schema([TensorSpec(np.dtype(object), (-1,), "image")])
    columns = [*classes, *(spread_columns(classes) if ensemble else [])]
    scores = [ColSpec("double", name, required=False) for name in columns]
    lists = [ColSpec(Array(DataType.string), name) for name in (REMARKS, REFUSALS)]
    params = [
        ParamSpec(name, kind, default, (-1,) if isinstance(default, list) else None)
        for name, (kind, default) in PARAMS.items()
    ]
    outputs = Schema([*scores, *lists, ColSpec("string", NOTE)])
    return ModelSignature(images, outputs, ParamSchema(params))


def example() -> pd.DataFrame:
    """Return an input example with a synthetic image, so that no patient data is published."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})
