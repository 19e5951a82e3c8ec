"""Where runs and models are kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr14.tracking.store import StoreError, artifact_location, connect, tracking_uri

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_two_processes_may_open_an_empty_store_at_once(tmp_path: Path) -> None:
    # Without the lock both create the tables, and one of them fails nearly every time.
    code = "from cxr14.tracking.store import connect; print(connect()[1])"
    environment = os.environ | {"DVC_ROOT": str(tmp_path), "PYTHONPATH": str(SOURCE)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    spoken = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [0, 0], spoken
    assert spoken[0][0] == spoken[1][0]  # the same experiment
    assert (tmp_path / "mlflow.db").exists()


def test_the_store_lies_in_the_original_repository_wherever_the_stage_runs(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("experiment")
    monkeypatch.chdir(elsewhere)
    client, experiment = connect()
    assert tracking_uri() == f"sqlite:///{project}/mlflow.db"
    location = client.get_experiment(experiment).artifact_location
    assert location == f"file://{project}/mlruns"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["My Drive é", "a#b", "a+b's"])
def test_the_store_lies_in_the_repository_whatever_its_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    connect()
    assert (tmp_path / name / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a%20b", "what?"])
def test_a_folder_whose_name_reads_as_an_escape_or_a_query_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI"):
        connect()
    assert list((tmp_path / name).iterdir()) == []


def test_the_tracking_uri_of_the_environment_is_respected(
    project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project / "elsewhere.db"
    other.write_bytes(empty_store.read_bytes())
    before = (project / "mlflow.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    connect()
    assert (project / "mlflow.db").read_bytes() == before
    assert other.read_bytes() != empty_store.read_bytes()


def test_a_server_chooses_where_artifacts_go() -> None:
    assert artifact_location("http://127.0.0.1:5000") is None


def test_an_experiment_deleted_in_the_ui_comes_back(project: Path) -> None:
    client, experiment = connect()
    client.delete_experiment(experiment)
    assert connect()[1] == experiment
    assert client.get_experiment(experiment).lifecycle_stage == "active"


def test_a_store_that_cannot_be_opened_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://there")
    with pytest.raises(ValueError, match="nonsense://there cannot be used: "):
        connect()
