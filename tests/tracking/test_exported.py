"""Cards and ONNX files in MLflow: artifacts of the run, named on the version."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cxr14.cli import app
from cxr14.errors import UserError
from cxr14.io import read_json, sha256, write_json, write_text
from cxr14.project import ROOT_FILES
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.exported import log_onnx
from cxr14.tracking.registry import MODEL, register
from cxr14.tracking.store import connect
from tests.tracking.conftest import IMAGES, SIDE

CONTENT = b"an ONNX file"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def onnx(tmp_path_factory) -> Path:
    """A file to log."""
    file = tmp_path_factory.mktemp("export") / "alexnet.onnx"
    file.write_bytes(CONTENT)
    return file


def write_card(root: Path, weights: str, decision: str) -> None:
    """Write cards that name hashes, as the report stage does."""
    for suffix in (".md", ".html"):
        write_text(root / f"report/cards/model_alexnet{suffix}", f"# Card\n{weights}\n{decision}\n")
        write_text(root / f"report/cards/data_phantom{suffix}", "# Data card\n")


def files(run_id: str, folder: str) -> list[str]:
    """Names in a folder of a run's artifacts."""
    client, _ = connect()
    return [Path(file.path).name for file in client.list_artifacts(run_id, folder)]


def test_the_file_is_an_artifact_of_the_run_and_the_version_has_its_hash(
    project: Path, onnx: Path
) -> None:
    trained = find_trained(["alexnet"])
    (model,) = register(trained).models
    assert log_onnx(trained[0], onnx, DIGEST) == model.version
    assert files(model.run_id, "onnx") == ["alexnet.onnx"]
    client, _ = connect()
    assert client.get_model_version(MODEL, model.version).tags["onnx_sha256"] == DIGEST

    decision = read_json("evaluation/alexnet/decision.json")
    write_json("evaluation/alexnet/decision.json", decision | {"thresholds": {}})
    assert log_onnx(find_trained(["alexnet"])[0], onnx, DIGEST) is None  # of other thresholds


def test_without_a_store_none_is_created(project: Path, onnx: Path) -> None:
    Path("mlflow.db").unlink()
    assert log_onnx(find_trained(["alexnet"])[0], onnx, DIGEST) is None
    assert not Path("mlflow.db").exists()


def test_the_cards_of_the_registered_weights_are_logged_and_named(project: Path) -> None:
    weights = read_json("models/alexnet/model.json")["weights_sha256"]
    write_card(project, weights, sha256("evaluation/alexnet/decision.json"))
    (model,) = register(find_trained(["alexnet"])).models
    assert files(model.run_id, "cards") == [
        *("data_phantom.html", "data_phantom.md", "model_alexnet.html", "model_alexnet.md")
    ]
    client, _ = connect()
    described = client.get_model_version(MODEL, model.version).description
    assert "cards/model_alexnet.md" in described
    assert "says nothing about patients" in described


def test_a_card_of_an_earlier_training_is_not_logged(project: Path) -> None:
    write_card(project, "0" * 64, sha256("evaluation/alexnet/decision.json"))
    (model,) = register(find_trained(["alexnet"])).models
    assert files(model.run_id, "cards") == []


def test_the_command_writes_the_file_and_logs_it_to_the_version(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    (model,) = register(find_trained(["alexnet"])).models
    for name in ROOT_FILES:
        (project / name).touch()
    monkeypatch.chdir(project / "data")
    line = ["export", "alexnet", "--output", "network.onnx"]  # of the folder of the user
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert "says nothing about patients" in done.output
    assert files(model.run_id, "onnx") == ["network.onnx"]
    client, _ = connect()
    file = project / "data/network.onnx"
    assert client.get_model_version(MODEL, model.version).tags["onnx_sha256"] == sha256(file)
    images = np.load(project / "data/cache/images.npy")
    logits, *_ = runtime.InferenceSession(str(file)).run(None, {"images": images})
    assert (images.shape, len(logits)) == ((IMAGES, SIDE, SIDE), IMAGES)


def test_a_store_that_cannot_be_used_is_a_warning_below_the_table(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for name in ROOT_FILES:
        (project / name).touch()
    Path("mlflow.db").write_bytes(b"no database" * 1000)
    done = CliRunner().invoke(app, ["export", "alexnet"], catch_exceptions=False)
    assert done.exit_code == 0
    assert (project / "export/alexnet.onnx").exists()
    assert "max |Δlogit|" in done.stdout
    assert "warning: export/alexnet.onnx is not logged to MLflow: " in done.stderr


def test_a_backbone_that_is_not_trained_is_refused(project: Path) -> None:
    pytest.importorskip("onnxscript")
    for name in ROOT_FILES:
        (project / name).touch()
    with pytest.raises(UserError, match="none of vgg16 is trained"):
        CliRunner().invoke(app, ["export", "vgg16"], catch_exceptions=False)
    assert not Path("export").exists()
