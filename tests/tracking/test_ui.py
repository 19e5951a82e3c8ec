import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cxr14.tracking.runs import start_run

SOURCE = Path(__file__).resolve().parents[2] / "src"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def ask_patiently(process: subprocess.Popen[bytes], url: str, body: dict[str, object]):
    while process.poll() is None:
        try:
            return ask(url, body)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise AssertionError(f"the server ended with {process.returncode}")


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [other for child in children for other in [int(child), *descendants(int(child))]]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.timeout(180)
def test_the_ui_answers_for_our_store_and_leaves_no_process_behind(project: Path) -> None:
    start_run("a1", "alexnet", {}, source="phantom", phantom=True).finish({"loss": 0.25})
    port = free_port()
    ui = subprocess.Popen(
        [sys.executable, "-m", "cxr14.tracking.ui", "--port", str(port)],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
        found = ask_patiently(ui, f"{api}/experiments/search", {"max_results": 10})
        ids = [one["experiment_id"] for one in found["experiments"] if one["name"] == "cxr14"]
        (run,) = ask(f"{api}/runs/search", {"experiment_ids": ids})["runs"]
        assert [(m["key"], m["value"]) for m in run["data"]["metrics"]] == [("loss", 0.25)]
        family = descendants(ui.pid)
        assert family
    finally:
        ui.send_signal(signal.SIGTERM)
        ui.wait(30)
    assert ui.returncode == 0
    assert [pid for pid in family if is_alive(pid)] == []
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", port), timeout=1),
    ):
        pass


def test_a_server_named_in_the_environment_is_pointed_to(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxr14.tracking.ui import serve

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(SystemExit, match=r"open http://127\.0\.0\.1:1 instead"):
        serve("127.0.0.1", 5000)
