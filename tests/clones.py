"""A repository of the files as they are here, for tests that run whole graphs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cxr14.report import plots_template

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ("metrics/", "plots/", "dvc.lock", "chexnext/metrics/", "chexnext/plots/")


def run(folder: Path, *command: str) -> str:
    """Run a command in the clone; its output, or the output as the reason of the failure."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy_into(folder: Path) -> None:
    """Copy what git knows of, or would add, but for results."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith((*RESULTS, "chexnext/dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def start(folder: Path) -> None:
    """Make it a repository, with one commit."""
    plots_template.main(str(folder / ".dvc" / "plots_template.html"))  # which set-up writes
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "config", "user.email", "tests@example.org")
    run(folder, "git", "config", "user.name", "tests")
    commit(folder, "start")


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)
