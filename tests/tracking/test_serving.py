"""The registered champion behind ``mlflow models serve``: a real server, real requests."""

import base64
import http.client
import json
import os
import sys
import urllib.error
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest

from cxr14.labels import CLASSES
from cxr14.serving.description import PHANTOM_MODEL
from tests.datasets.dicoms import SECRETS, dicom
from tests.datasets.pictures import encode, noise
from tests.tracking.servers import ask, clean_environment, free_port, patiently, running

SERVE = ["-m", "mlflow", "models", "serve", "-m", "models:/cxr14@champion"]
MEGABYTE = 2**20


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


PICTURE = text(encode(noise(1, 100, 120)))


class Server(NamedTuple):
    """A running server: its address, what it logs, and its processes."""

    address: str
    log: Path
    process: psutil.Process

    def memory(self) -> int:
        """Resident bytes of all processes of the server."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in family)


@pytest.fixture(scope="module")
def server(registered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The champion, served from an empty folder and without our package at hand."""
    elsewhere = tmp_path_factory.mktemp("served")
    environment = clean_environment() | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{registered_once}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    port, log = free_port(), elsewhere / "log"
    command = [sys.executable, *SERVE, "--env-manager", "local", "--port", str(port)]
    with running(command, log, env=environment, cwd=elsewhere) as process:
        patiently(process, lambda: ask(f"http://127.0.0.1:{port}/ping"), log)
        address = f"http://127.0.0.1:{port}/invocations"
        yield Server(address, log, psutil.Process(process.pid))


REQUESTS = {
    "split": {"dataframe_split": {"columns": ["image"], "data": [[PICTURE], [PICTURE]]}},
    "records": {"dataframe_records": [{"image": PICTURE}, {"image": PICTURE}]},
    "inputs": {"inputs": {"image": [PICTURE, PICTURE]}},
    "a bare list": {"inputs": [PICTURE, PICTURE]},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_png_in_a_request_is_answered_with_named_probabilities(server: Server, name: str) -> None:
    first, second = ask(server.address, REQUESTS[name])["predictions"]
    assert list(first) == [*CLASSES, "remarks", "refusals", "note"]
    assert first["note"] == f"{PHANTOM_MODEL}; not a medical device"
    assert first["remarks"] == second["remarks"] == ["padded"]
    assert first["refusals"] == second["refusals"] == []
    scores, again = ({name: row[name] for name in CLASSES} for row in (first, second))
    assert scores.pop("Hernia") is again.pop("Hernia") is None  # it has no calibration
    assert scores == pytest.approx(again, abs=1e-5)
    assert all(0 < value < 1 for value in scores.values())


def test_the_answer_is_that_of_the_model_in_python_with_what_is_requested(
    server: Server, registered: Path
) -> None:
    import mlflow
    import pandas as pd

    params = {"calibrated": False, "decide": True, "heatmaps": ["Mass", "called"]}
    answer = pd.DataFrame(
        ask(server.address, REQUESTS["split"] | {"params": params})["predictions"]
    )
    model = mlflow.pyfunc.load_model("models:/cxr14@champion")
    here = model.predict(pd.DataFrame({"image": [PICTURE] * 2}), params=params)
    pd.testing.assert_frame_equal(answer, here, check_dtype=False)
    assert "Mass" in answer.heatmaps[0]


def test_a_dicom_is_answered_and_its_patient_is_in_neither_answer_nor_log(server: Server) -> None:
    whole = dicom(np.asarray(noise(2, 100, 100)))
    lateral = dicom(np.asarray(noise(2, 100, 100)), ViewPosition="LL")
    broken = dicom(np.asarray(noise(2, 100, 100)), PixelData=b"\0\0")
    body = {"inputs": [text(whole), text(lateral)], "params": {"heatmaps": ["Mass"]}}
    scored, refused = ask(server.address, body)["predictions"]
    assert (scored["remarks"], scored["refusals"]) == (["dicom"], [])
    assert 0 < scored["Mass"] < 1
    assert refused["Mass"] is None
    assert refused["refusals"] == ["a lateral view by its DICOM header (LL); allowed: PA and AP"]
    status, sentence = refusal(server.address, {"inputs": [text(broken)]})
    assert (status, "bytes of the DICOM's pixel data are missing" in sentence) == (400, True)
    said = server.log.read_text() + str((scored, refused, sentence))
    assert "POST /invocations" in said
    assert not [secret for secret in SECRETS if secret in said]


def refusal(address: str, body: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, body)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("###", "image 1: not base64 ("),
        (text(b"no picture"), "image 1: not a readable image (neither PNG, JPEG nor DICOM"),
        (PICTURE[:400], "image 1: not a readable image ("),
        (None, "image 1: missing; give base64 text of a PNG, JPEG or DICOM file"),
    ],
)
@pytest.mark.parametrize("form", ["dataframe_split", "inputs"])
def test_what_is_no_picture_is_answered_400_with_one_sentence(
    server: Server, form: str, given: str | None, said: str
) -> None:
    rows = {"columns": ["image"], "data": [[PICTURE], [given]]}
    body = {form: rows if form == "dataframe_split" else {"image": [PICTURE, given]}}
    status, sentence = refusal(server.address, body)
    assert (status, sentence.startswith(said)) == (400, True), sentence
    assert "\n" not in sentence
    assert PICTURE[:40] not in sentence  # the request is not sent back


def test_another_column_is_answered_400_and_the_right_one_named(server: Server) -> None:
    status, said = refusal(server.address, {"dataframe_records": [{"picture": "no matter what"}]})
    assert status == 400
    assert "Model is missing inputs ['image']. Note that there were extra inputs: ['pic" in said


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"heatmaps": "Mass"}, "Value must be a 1D array with shape (-1,) for param 'heatmaps'"),
        ({"heatmaps": ["Tumour"]}, "heatmaps: 'Tumour' is none of Atelectasis, "),
        ({"decide": "perhaps"}, "'decide'"),
        (["decide"], "Parameters must be a dictionary"),
    ],
)
def test_params_of_another_type_or_value_are_answered_400(
    server: Server, params: Any, named: str
) -> None:
    status, said = refusal(server.address, REQUESTS["split"] | {"params": params})
    assert status == 400
    assert named in said


def post(server: Server, body: bytes) -> tuple[int, bytes]:
    """Post any bytes as JSON; the status and what is answered."""
    address = server.address.removeprefix("http://").removesuffix("/invocations")
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"inputs": ', b"{}"])
def test_rubbish_instead_of_json_is_answered_400(server: Server, body: bytes) -> None:
    status, answer = post(server, body)
    assert status == 400
    assert json.loads(answer)["error_code"] == "BAD_REQUEST"


def bomb(width: int, height: int) -> bytes:
    """A PNG of black pixels, whose rows are packed a thousandfold."""
    total = height * (1 + width)
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 + width)) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (total % 65521 << 16 | 1).to_bytes(4, "big")  # of zeros
    data = b"\x78\xda" + block * height + b"\x03\0" + adler
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


def test_a_picture_that_inflates_to_gigabytes_is_answered_400_in_little_memory(
    server: Server,
) -> None:
    before = server.memory()
    status, said = refusal(server.address, {"inputs": [text(bomb(30_000, 30_000))]})
    assert status == 400
    assert said == "image 0: claims 30000×30000 pixels; at most 33554432 are decoded"
    assert server.memory() - before < 50 * MEGABYTE


def test_a_hundred_requests_at_once_are_all_answered_right_in_little_memory(
    server: Server,
) -> None:
    pictures = [text(encode(noise(seed, 600, 500))) for seed in range(4)]
    expected = ask(server.address, {"inputs": pictures})["predictions"]
    before = server.memory()
    with ThreadPoolExecutor(100) as pool:
        bodies = [{"inputs": [pictures[number % 4]]} for number in range(100)]
        answers = [*pool.map(lambda body: ask(server.address, body), bodies)]
    for number, answer in enumerate(answers):
        (row,) = answer["predictions"]
        scores = [row[name] for name in CLASSES if name != "Hernia"]
        right = [expected[number % 4][name] for name in CLASSES if name != "Hernia"]
        assert scores == pytest.approx(right, abs=1e-6)
    assert server.memory() - before < 150 * MEGABYTE


@pytest.mark.graph
def test_an_upload_of_200_megabytes_is_answered_400_and_its_memory_is_given_back(
    server: Server,
) -> None:
    before = server.memory()
    body = b'{"inputs": ["' + b"A" * 200_000_000 + b'"]}'
    for _ in range(3):
        status, answer = post(server, body)
        assert (status, len(answer) < 1000) == (400, True)
        assert json.loads(answer)["message"].startswith("image 0: over 67108864 bytes")
    assert ask(server.address, REQUESTS["inputs"])["predictions"]
    assert server.memory() - before < 500 * MEGABYTE  # less than three times the 600 MB of one
