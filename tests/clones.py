"""Clones of this repository, as a user gets them, for tests that run whole graphs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from cxr14.figures import plots_template

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """The variables of a user's shell with .venv activated."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "MAKEFLAGS", "MAKELEVEL")
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(folder: Path, *command: str) -> str:
    """Run a command in the clone; its output, or the output as the reason of the failure."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shell(folder: Path, line: str) -> str:
    """Run a line of shell in the clone, as pasted into a terminal; see `run`."""
    return run(folder, "bash", "-euo", "pipefail", "-c", line)


def paste(folder: Path, line: str) -> str:
    """Run a line of the how-to; `make` takes .venv as it is, which the clone shares."""
    return shell(folder, re.sub(r"^make ", "make --old-file=.venv/stamp ", line))


def clone_into(folder: Path) -> None:
    """`git clone` this repository, locks and results included, as branch main.

    Changes of the work tree that are not committed yet are committed in the clone, and what
    `make setup` writes beside git is there.
    """
    run(ROOT, "git", "clone", "--quiet", "--shared", str(ROOT), str(folder))
    run(folder, "git", "checkout", "--quiet", "-B", "main")
    run(folder, "git", "config", "user.email", "tests@example.org")
    run(folder, "git", "config", "user.name", "tests")
    changed = run(ROOT, "git", "diff", "--name-only", "-z", "HEAD")
    new = run(ROOT, "git", "ls-files", "--others", "--exclude-standard", "-z")
    for name in filter(None, (changed + new).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    if run(folder, "git", "status", "--porcelain"):
        commit(folder, "work tree")
    plots_template.main(str(folder / ".dvc" / "plots_template.html"))
    (folder / ".venv").symlink_to(sys.prefix)
    with (folder / ".git/info/exclude").open("a") as file:
        file.write("/.venv\n")


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def shrink_params(path: Path, backbones: list[str]) -> None:
    """Make params.yaml small: 150 phantoms, one epoch, two of AlexNet.

    Of so many, train, val and test hold images with and without each finding.
    """
    params = yaml.safe_load(path.read_text())
    params["data"]["phantom"] |= {"images": 150, "size": 256}
    params["preprocess"]["size"] = 128
    params["train"] |= {"backbones": backbones, "input_size": 64, "epochs": 1, "batch_size": 16}
    params["train"]["overrides"] = {
        name: {"epochs": 2} if name == "alexnet" else {} for name in backbones
    }
    params["localize"]["size"] = "cache"  # AlexNet's maps of images of 64 px are a single cell
    path.write_text(yaml.safe_dump(params, sort_keys=False))
