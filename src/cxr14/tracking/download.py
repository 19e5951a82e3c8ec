"""The files of a registered model, downloaded from the MLflow store of the repository."""

from pathlib import Path

from cxr14.errors import UserError
from cxr14.serving.models import ModelFiles
from cxr14.tracking import (
    DECISION_ARTIFACT,
    INPUT_CHECK_ARTIFACT,
    MODEL_ARTIFACT,
    SERVING_ARTIFACT,
)
from cxr14.tracking.store import connect, first_line


def download_model(uri: str, folder: Path) -> ModelFiles:
    """Download a version of the registered model.

    The working directory must be the root of the repository, which names the store.

    Args:
        uri: for example models:/cxr14@champion or models:/cxr14/3.
        folder: an empty folder, for the files.

    Raises:
        UserError: there is no such version, or it lacks a file.
    """
    connect()
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        path = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
        logged = Model.load(path).flavors["python_function"]["artifacts"]
    except (MlflowException, OSError, KeyError) as error:
        raise UserError(
            f"--model {uri}: {first_line(error)}; `cxr14 ui` lists the versions, and "
            f"`make register` registers what is trained"
        ) from None
    files = {name: Path(path) / entry["path"] for name, entry in sorted(logged.items())}
    needed = (DECISION_ARTIFACT, SERVING_ARTIFACT, INPUT_CHECK_ARTIFACT)
    if missing := [name for name in needed if name not in files]:
        raise UserError(
            f"--model {uri}: registered by an earlier version of cxr14, without "
            f"{', '.join(missing)}; register it again with `make register`"
        )
    folders = tuple(path for name, path in files.items() if name.startswith(MODEL_ARTIFACT))
    return ModelFiles(uri, folders, *(files[name] for name in needed))
