"""The registered model as MLflow stores it: code, weights, signature, example, requirements."""

import base64
import importlib.metadata
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cxr14
from cxr14.data.cache import open_cache
from cxr14.tracking.answers import MODEL, REMARKS, spread_columns
from cxr14.tracking.artifacts import Trained

if TYPE_CHECKING:
    from mlflow import MlflowClient

REQUIRED = (
    "isal",
    "kornia-rs",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "safetensors",
    "torch",
    "torchvision",
)
"""What the registered model imports; given to MLflow, which otherwise tries to find out."""


def log_model(
    client: "MlflowClient", experiment: str, trained: Trained, run_id: str, tags: dict[str, str]
) -> str:
    """Copy code, weights and decision into the store as an output of the run; return its id."""
    import mlflow
    from mlflow.entities import LoggedModelOutput

    model = mlflow.initialize_logged_model(
        trained.backbone, source_run_id=run_id, experiment_id=experiment, tags=tags
    )
    images, _ = open_cache(trained.cache)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Operation with range")  # MLflow's, on pandas 3
        mlflow.pyfunc.log_model(
            model_id=model.model_id,
            name=trained.backbone,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts=networks(trained.folders) | {"decision": str(trained.decision)},
            model_config={"cached_size": images.shape[1]},
            code_paths=[str(Path(cxr14.__file__).parent)],
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIRED],
            signature=signature(trained.model["classes"], len(trained.folders) > 1),
            input_example=example(),
        )
    client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def networks(folders: list[Path]) -> dict[str, str]:
    """Name the folders of one network, or of several, as the model will find them: model 00 …."""
    if len(folders) == 1:
        return {MODEL: str(folders[0])}
    return {f"{MODEL} {place:02d}": str(folder) for place, folder in enumerate(folders)}


def signature(classes: list[str], ensemble: bool = False) -> Any:
    """Return what goes in and out: any number of images, and of each a float per class and remarks.

    An ensemble also says by class how far its networks lie apart.

    An input of type `object` and of one free dimension is the one kind that MLflow passes on
    both as base64 texts (B,) and as uint8 (B, S, S); the model checks it.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    images = Schema([TensorSpec(np.dtype(object), (-1,), "image")])
    columns = [*classes, *(spread_columns(classes) if ensemble else [])]
    remarks = ColSpec(Array(DataType.string), REMARKS)
    scores = Schema([*(ColSpec("float", name) for name in columns), remarks])
    decide = ParamSchema([ParamSpec("decide", DataType.boolean, False)])
    return ModelSignature(images, scores, decide)


def example() -> Any:
    """Return a table with one picture, drawn: a patient's would leave the place it belongs to."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})
