"""A store that cannot be used is one sentence with the way out; it is only a view."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cxr14.io import read_json
from cxr14.tracking import ui
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import register
from cxr14.tracking.runs import start_run
from cxr14.tracking.store import SQLITE_SECONDS, StoreError, connect
from stages import register as stage
from stages import run
from tests.conftest import ROOT
from tests.disks import fill, make_read_only, small_disk
from tests.sources import PHANTOM
from tests.tracking.servers import free_port


def randomize(store: Path) -> None:
    store.write_bytes(os.urandom(5000))


def truncate(store: Path) -> None:
    os.truncate(store, store.stat().st_size // 3)


def overwrite_pages(store: Path) -> None:
    with store.open("rb+") as file:
        file.seek(4096 * 30)
        file.write(os.urandom(4096 * 30))


def make_folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def make_fifo(store: Path) -> None:
    store.unlink()
    os.mkfifo(store)


def change_schema(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database:
        database.execute("update alembic_version set version_num = 'abcdef012345'")
        database.commit()


def change_schema_and_drop(store: Path) -> None:
    change_schema(store)
    with closing(sqlite3.connect(store)) as database:
        database.execute("drop table logged_models")
        database.commit()


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "random bytes": (randomize, "not a database"),
    "truncated": (truncate, "malformed"),
    "damaged pages": (overwrite_pages, "malformed"),
    "folder": (make_folder, "no regular file; move it away"),
    "fifo": (make_fifo, "no regular file; move it away"),
    "newer schema": (change_schema, r"schema \(abcdef012345\) is of another MLflow"),
    "newer schema, other tables": (change_schema_and_drop, r"schema \(abcdef012345\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_cannot_be_used_is_one_sentence_within_seconds(
    project: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It used to be 285 lines, or a wait of two minutes."""
    damage, reason = FAULTS[fault]
    damage(project / "mlflow.db")
    began = time.monotonic()
    with pytest.raises(StoreError, match=reason) as caught:
        connect()
    assert time.monotonic() - began < 30
    assert "\n" not in str(caught.value)
    if "regular file" not in reason:
        assert f"mv {project}/mlflow.db {project}/mlflow.db.old`" in str(caught.value)
        assert "`make register` makes it again" in str(caught.value)
    assert capfd.readouterr() == ("", "")  # nothing of SQLAlchemy or alembic


@pytest.fixture
def locked(project: Path) -> Iterator[Path]:
    """A project whose store another process holds."""
    with closing(sqlite3.connect(project / "mlflow.db")) as other:
        other.execute("begin exclusive")
        yield project


def test_a_locked_store_is_waited_for_only_seconds(locked: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"database is locked; another process holds .*mlflow\.db"):
        connect()
    assert SQLITE_SECONDS - 1 < time.monotonic() - began < 3 * SQLITE_SECONDS


def test_a_read_only_store_is_named_although_it_can_be_read(
    project: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        shutil.copyfile(empty_store, disk / "mlflow.db")
        make_read_only(disk)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
        with pytest.raises(StoreError, match=r"readonly database; check that .*can be written"):
            connect()


def test_a_store_on_a_full_disk_names_the_file_system(
    project: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        shutil.copyfile(empty_store, disk / "mlflow.db")
        fill(disk)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
        with pytest.raises(StoreError, match=rf"{disk}"):
            connect()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://ann:secret@127.0.0.1:{port}", "no server accepts connections at 127.0.0.1:"),
        ("postgresql://ann:secret@127.0.0.1:{port}/db", "no server accepts connections at"),
        ("mysql+pymysql://ann:secret@127.0.0.1:{port}/db", "no server accepts connections at"),
        ("postgresql://ann:secret@host:port/db", "it is no database URI"),
        ("http://", "it is no address of a server"),
        ("http://[::1", "it is no address of a server"),
        ("sqlite:////proc/none/mlflow.db", "check that /proc/none/mlflow.db"),
        ("sqlite:///mlflow.db?timeout=soon", "no number of seconds"),
    ],
)
def test_an_address_without_a_store_is_one_sentence_without_its_password(
    project: Path, monkeypatch: pytest.MonkeyPatch, uri: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    with pytest.raises(StoreError, match=reason) as caught:
        connect()
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up_in_seconds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr14.tracking.store.ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(StoreError, match="does not respond within seconds"):
            connect()


def test_a_file_in_place_of_the_artifacts_is_the_stores_fault(project: Path) -> None:
    (project / "mlruns").write_text("in the way")
    with pytest.raises(StoreError, match=r"mlruns.*(Not a directory|exists)"):
        register(find_trained(["alexnet"]))


def test_training_goes_on_with_one_warning(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    randomize(project / "mlflow.db")
    script = "stages/train.py"
    assert start_run(script, "a1", "alexnet", {}, PHANTOM) is None
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: no MLflow run for alexnet (MLflow's store ")
    assert "training goes on" in line


def run_stage(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["register", *options])
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    with pytest.raises(SystemExit) as caught:
        run(stage.main, None)
    return int(caught.value.code or 0)


def test_dvc_repro_ends_well_with_a_warning_and_claims_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    randomize(project / "mlflow.db")
    assert run_stage(monkeypatch, "--best-effort") == 0
    assert read_json("registry/registered.json") == []
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: nothing is registered: MLflow's store ")
    assert "`make register` registers them once the store can be used" in line


def test_make_register_fails_with_one_sentence_and_writes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    randomize(project / "mlflow.db")
    assert run_stage(monkeypatch) == 1
    assert not Path("registry").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: MLflow's store ")


def test_the_ui_does_not_start_on_such_a_store(project: Path) -> None:
    randomize(project / "mlflow.db")
    with pytest.raises(StoreError, match=r"MLflow's store .*not a database; set it aside"):
        ui.serve("127.0.0.1", 5000)


@pytest.fixture
def copy(registered_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a registered project, as the working directory."""
    from tests.tracking.conftest import enter

    shutil.copytree(registered_once, tmp_path / "a copy")
    return enter(tmp_path / "a copy", None, monkeypatch)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copied_repository_never_writes_into_the_original(
    copy: Path, registered_once: Path
) -> None:
    before = contents(registered_once)
    with pytest.raises(StoreError, match="it was moved or copied; set it aside") as caught:
        register(find_trained(["alexnet", "googlenet"]))
    assert f"its artifacts belong in {registered_once}/mlruns" in str(caught.value)
    assert f"mv '{copy}/mlflow.db' '{copy}/mlflow.db.old'" in str(caught.value)
    assert contents(registered_once) == before
    shutil.move("mlflow.db", "mlflow.db.old")  # what the sentence says
    # In a new process, as MLflow keeps the file open that it opened first.
    code = "from cxr14.tracking.artifacts import find_trained\n"
    code += "from cxr14.tracking.registry import register\n"
    code += "print([one.champion for one in register(find_trained(['alexnet'])).models])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True]"
    assert contents(registered_once) == before


def test_a_run_that_belongs_elsewhere_is_not_written_to_either(
    copy: Path, registered_once: Path
) -> None:
    """The experiment's location alone may have been changed by hand."""
    before = contents(registered_once)
    with closing(sqlite3.connect("mlflow.db")) as database:
        location = ((copy / "mlruns").as_uri(),)
        database.execute("update experiments set artifact_location = ?", location)
        database.commit()
    with pytest.raises(StoreError, match="it was moved or copied"):
        register(find_trained(["alexnet"]))
    assert contents(registered_once) == before


def test_a_link_at_the_old_place_keeps_a_moved_repository_working(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    old = tmp_path_factory.mktemp("links") / "old"
    old.symlink_to(project)
    with closing(sqlite3.connect("mlflow.db")) as database:
        location = ((old / "mlruns").as_uri(),)
        database.execute("update experiments set artifact_location = ?", location)
        database.commit()
    connect()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")  # relative, and the same
    client, experiment = connect()
    assert client.get_experiment(experiment).artifact_location == (old / "mlruns").as_uri()


def test_a_store_shared_by_repositories_keeps_its_own_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path_factory.mktemp("shared")
    shutil.copyfile("mlflow.db", shared / "team.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}/team.db")
    client, experiment = connect()
    monkeypatch.setenv("DVC_ROOT", str(shared))  # another repository
    assert connect()[1] == experiment
    assert client.get_experiment(experiment).artifact_location == (project / "mlruns").as_uri()
