"""The ONNX file of a registered model: an artifact of its run, and its hash on the version."""

from pathlib import Path
from typing import TYPE_CHECKING

from cxr14.tracking.artifacts import Trained
from cxr14.tracking.registry import MODEL
from cxr14.tracking.runs import IDENTITY
from cxr14.tracking.store import connect, lock, sqlite_file, store_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "onnx"
"""Folder of the file among the artifacts of the run."""

TAG = "onnx_sha256"
"""Tag of the version with the SHA-256 of the file."""


def log_onnx(trained: Trained, file: Path, digest: str) -> str | None:
    """Log an ONNX file to the registered version of the same weights and decision.

    A store that does not exist yet is not created.

    Args:
        trained: the exported backbone.
        file: the ONNX file.
        digest: its SHA-256.

    Returns:
        The version; None if there is none.

    Raises:
        StoreError: the store cannot be used.
    """
    database = sqlite_file(tracking_uri())
    if database is not None and not database.exists():
        return None
    client, _ = connect()
    with lock(), store_errors():
        version = _version_of(client, trained)
        if version is None:
            return None
        client.log_artifact(version.run_id, str(file), FOLDER)
        client.set_model_version_tag(MODEL, version.version, TAG, digest)
        return str(version.version)


def _version_of(client: "MlflowClient", trained: Trained) -> "ModelVersion | None":
    """Return the newest version of the weights and the decision of a backbone."""
    content = trained.hashes()
    where = f"name = '{MODEL}' and tags.`{IDENTITY}` = '{trained.identity}'"
    versions = client.search_model_versions(where)
    matching = [v for v in versions if content.items() <= v.tags.items()]
    return max(matching, key=lambda version: int(version.version), default=None)
