"""The first stage, in a repository of its own: what DVC would delete stops the run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clones import clone_into

pytestmark = pytest.mark.graph

DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, in which nothing has run."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    clone_into(folder)
    return folder


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_dvc_stops_before_it_deletes_a_file_of_the_user(clone: Path) -> None:
    """DVC removes outputs before their stage runs, so the stage itself would come too late."""
    mine = clone / "models" / "alexnet" / "mine.pt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = call(clone, *DVC, "repro", "download")
    assert done.returncode != 0
    assert "'models/alexnet/mine.pt': no stage wrote this file" in done.stderr
    assert mine.read_text() == "mine"
    mine.unlink()
    assert call(clone, *DVC, "repro", "check-outputs").returncode == 0
    assert "up to date" in call(clone, *DVC, "repro", "check-outputs").stdout


def test_an_experiment_stops_too(clone: Path, tmp_path: Path) -> None:
    (clone / "data" / "cache").mkdir(parents=True, exist_ok=True)
    (clone / "data" / "outputs_checked.json").unlink(missing_ok=True)
    mine = clone / "data" / "cache" / "notes.txt"
    mine.write_text("mine")
    done = call(clone, *DVC, "exp", "run", "download")
    assert done.returncode != 0
    assert "'data/cache/notes.txt': no stage wrote this file" in done.stderr
    assert mine.read_text() == "mine"
    mine.unlink()


def test_the_stage_alone_leaves_a_linked_folder_alone(clone: Path, tmp_path: Path) -> None:
    """A folder that was linked at data/raw/archives was emptied through the link."""
    (tmp_path / "images_001.tar.gz").write_text("mine")
    (clone / "data" / "raw").mkdir(parents=True, exist_ok=True)
    (clone / "data" / "raw" / "archives").symlink_to(tmp_path)
    done = call(clone, sys.executable, "-m", "stages.download")
    assert done.returncode == 1
    assert done.stderr.startswith("error: data/raw/archives is a link to")
    assert (tmp_path / "images_001.tar.gz").read_text() == "mine"
    (clone / "data" / "raw" / "archives").unlink()


def test_a_folder_that_is_no_repository_is_told_how_to_become_one(tmp_path: Path) -> None:
    """An archive of the code that was downloaded has no .git, and DVC's error names no way out."""
    clone_into(tmp_path / "clone")
    shutil.rmtree(tmp_path / "clone" / ".git")
    done = call(tmp_path / "clone", sys.executable, "-m", "stages.check_outputs", "--cache")
    assert done.returncode == 1
    assert "is not a git repository" in done.stderr
    assert "git init" in done.stderr
