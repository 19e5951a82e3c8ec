"""The registered champion behind ``mlflow models serve``: a real server, real requests."""

import base64
import json
import os
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr14.labels import CLASSES
from tests.datasets.pictures import encode, noise
from tests.tracking.servers import ask, clean_environment, free_port, patiently, running

PICTURE = base64.b64encode(encode(noise(1, 50, 60))).decode()
SERVE = ["-m", "mlflow", "models", "serve", "-m", "models:/cxr14@champion"]


@pytest.fixture(scope="module")
def address(registered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the champion is served, from an empty folder and without our package at hand."""
    elsewhere = tmp_path_factory.mktemp("served")
    environment = clean_environment() | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{registered_once}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    port, log = free_port(), elsewhere / "log"
    command = [sys.executable, *SERVE, "--env-manager", "local", "--port", str(port)]
    with running(command, log, env=environment, cwd=elsewhere) as server:
        patiently(server, lambda: ask(f"http://127.0.0.1:{port}/ping"), log)
        yield f"http://127.0.0.1:{port}/invocations"


REQUESTS = {
    "split": {"dataframe_split": {"columns": ["image"], "data": [[PICTURE], [PICTURE]]}},
    "records": {"dataframe_records": [{"image": PICTURE}, {"image": PICTURE}]},
    "inputs": {"inputs": {"image": [PICTURE, PICTURE]}},
    "a bare list": {"inputs": [PICTURE, PICTURE]},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_png_in_a_request_is_answered_with_named_probabilities(address: str, name: str) -> None:
    first, second = ask(address, REQUESTS[name])["predictions"]
    assert list(first) == [*CLASSES, "remarks"]
    assert first.pop("remarks") == second.pop("remarks") == ["padded"]
    assert first == pytest.approx(second, abs=1e-5)
    assert all(0 < value < 1 for value in first.values())


def test_the_answer_is_that_of_the_model_in_python_with_decisions_if_wanted(
    address: str, registered: Path
) -> None:
    import mlflow
    import pandas as pd

    wanted = REQUESTS["split"] | {"params": {"decide": True}}
    answer = pd.DataFrame(ask(address, wanted)["predictions"])
    model = mlflow.pyfunc.load_model("models:/cxr14@champion")
    here = model.predict(pd.DataFrame({"image": [PICTURE] * 2}), params={"decide": True})
    pd.testing.assert_frame_equal(answer, here, check_dtype=False)


def refusal(address: str, body: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, body)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("###", "image 1: not base64 ("),
        (base64.b64encode(b"no picture").decode(), "image 1: not a readable image ("),
        (PICTURE[:400], "image 1: not a readable image ("),
        (None, "image 1: missing; give base64 text"),
    ],
)
@pytest.mark.parametrize("form", ["dataframe_split", "inputs"])
def test_what_is_no_picture_is_answered_400_with_one_sentence(
    address: str, form: str, given: str | None, said: str
) -> None:
    rows = {"columns": ["image"], "data": [[PICTURE], [given]]}
    body = {form: rows if form == "dataframe_split" else {"image": [PICTURE, given]}}
    status, sentence = refusal(address, body)
    assert (status, sentence.startswith(said)) == (400, True), sentence
    assert "\n" not in sentence
    assert PICTURE[:40] not in sentence  # the request is not sent back


def test_another_column_is_answered_400_and_the_right_one_named(address: str) -> None:
    status, said = refusal(address, {"dataframe_records": [{"picture": "no matter what"}]})
    assert status == 400
    assert "Model is missing inputs ['image']. Note that there were extra inputs: ['pic" in said
