"""Two trainings at once, and `register`, on an MLflow server that keeps its records in PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import register
from cxr14.tracking.runs import find_runs
from cxr14.tracking.store import ENVIRONMENT, connect
from tests.tracking.postgres import find_postgres, postgres
from tests.tracking.servers import ask, clean_environment, free_port, patiently, running

pytestmark = pytest.mark.graph

SOURCE = Path(__file__).resolve().parents[2] / "src"
EPOCHS = 60
TRAIN = f"""
import sys
from cxr14.datasets.records import Source
from cxr14.tracking.runs import start_run
source = Source("phantom", phantom=True, official_split=False)
run = start_run("stages/train.py", sys.argv[1], "alexnet", {{}}, source)
for epoch in range(1, {EPOCHS} + 1):
    run.log_epoch({{"epoch": epoch, "loss": 1 / epoch, "validation_macro_auroc": epoch / 100}})
run.finish({{"best_epoch": {EPOCHS}}})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the MLflow server."""
    pytest.importorskip("psycopg", reason="no driver: pip install 'cxr14[postgres]'")
    binaries = find_postgres()
    if binaries is None:
        pytest.skip("no PostgreSQL on the PATH or in /usr/lib/postgresql (apt install postgresql)")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    environment = clean_environment() | ENVIRONMENT | {"PYTHONWARNINGS": "ignore"}
    with postgres(binaries) as database:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        log = folder / "log"
        with running(command, log, env=environment, cwd=folder) as process:
            search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search"
            patiently(process, lambda: ask(search, {"max_results": 1}), log)
            yield f"http://127.0.0.1:{port}"


@pytest.mark.timeout(300)
def test_two_trainings_at_once_lose_nothing(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    more = {
        "PYTHONPATH": str(SOURCE),
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.2",
        "DVC_EXP_NAME": "pair",
        "DVC_EXP_BASELINE_REV": "b" * 40,
    }
    identities = ("a1", "b2")
    pair = [
        subprocess.Popen([sys.executable, "-c", TRAIN, name], env=os.environ | more)
        for name in identities
    ]
    assert [process.wait() for process in pair] == [0, 0]
    client, experiment = connect()
    parents = set()
    for identity in identities:
        (run,) = find_runs(client, experiment, identity)
        assert run.info.status == "FINISHED"
        assert run.data.metrics["best_epoch"] == EPOCHS
        assert "system/cpu_utilization_percentage" in run.data.metrics
        parents.add(run.data.tags["mlflow.parentRunId"])
        for name, value in (
            ("loss", lambda e: 1 / e),
            ("validation_macro_auroc", lambda e: e / 100),
        ):
            history = client.get_metric_history(run.info.run_id, name)
            got = {metric.step: metric.value for metric in history}
            assert got == {e: pytest.approx(value(e)) for e in range(1, EPOCHS + 1)}
    assert len(parents) == 1


@pytest.mark.timeout(300)
def test_models_are_registered_and_loaded_back_through_the_server(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    for _ in range(2):  # the second time adds nothing
        (one,) = register(find_trained(["alexnet"])).models  # loads it back before it is champion
        assert (one.version, one.champion) == ("1", True)
    client, experiment = connect()
    assert client.get_experiment(experiment).artifact_location.startswith("mlflow-artifacts:")
    assert not (project / "mlruns").exists()  # nothing of it is here
