"""MLflow's page for our store."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr14.errors import UserError
from cxr14.project import ROOT_FILES
from cxr14.tracking.runs import start_run
from tests.sources import PHANTOM
from tests.tracking.servers import ask, free_port, patiently

SOURCE = Path(__file__).resolve().parents[2] / "src"


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
    log = project / "ui.log"
    for name in ROOT_FILES:
        (project / name).touch()
    start_run("stages/train.py", "a1", "alexnet", {}, PHANTOM).finish({"loss": 0.25})
    port = free_port()
    with log.open("wb") as output:
        ui = subprocess.Popen(
            [sys.executable, "-m", "cxr14.cli", "ui", "--port", str(port)],
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
        body = {"max_results": 10}
        found = patiently(ui, lambda: ask(f"{api}/experiments/search", body), log)
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
    with pytest.raises(UserError, match=r"open http://127\.0\.0\.1:1 instead"):
        serve("127.0.0.1", 5000)


SERVER = """
import sys
from cxr14.tracking import ui
ui.connect = lambda: None
ui.command = lambda host, port: ["sh", "-c", "echo server; sleep 500 & wait"]
sys.exit(ui.serve("127.0.0.1", 5000))
"""


def test_the_server_ends_with_its_children_when_the_command_is_killed(project: Path) -> None:
    ui = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ui.stdout is not None
    with ui:
        while ui.stdout.readline() != "server\n":
            pass
        while len(family := descendants(ui.pid)) < 3:  # the server, its child, the watchdog
            time.sleep(0.05)
        ui.kill()
    deadline = time.monotonic() + 10
    while (alive := [pid for pid in family if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []


def test_a_port_in_use_is_one_sentence_with_another_one(project: Path) -> None:
    from cxr14.tracking import ui

    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .* in use.*cxr14 ui --port {port + 1}"):
            ui.serve("127.0.0.1", port)
