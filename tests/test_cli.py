"""The command `cxr14`."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

import cxr14
from cxr14.cli import app
from tests.clones import clone_into, run
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENTRY = EntryPoint("cxr14", PROJECT["scripts"]["cxr14"], "console_scripts")
SCRIPT = f"import sys; from {ENTRY.module} import {ENTRY.attr}; sys.exit({ENTRY.attr}())"
"""What an installer writes as bin/cxr14."""


def cxr14_command(folder: Path, *words: str, script: str = SCRIPT) -> tuple[int, str]:
    """Exit code and output of the console script in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_without_a_subcommand_the_command_lists_them(tmp_path: Path) -> None:
    _, output = cxr14_command(tmp_path)
    assert "ui" in output
    assert "Serve MLflow's pages" in output


@pytest.mark.parametrize("inside", [".", "chexnext", "src/cxr14/tracking"])
def test_the_root_is_found_from_any_folder_of_the_repository(inside: str) -> None:
    code = SCRIPT.replace(
        "sys.exit",
        "import os, cxr14.tracking.ui as ui; "
        "ui.serve = lambda host, port: print([host, port, os.getcwd()][1:]) or 3; sys.exit",
    )
    status, output = cxr14_command(ROOT / inside, "ui", "--port", "5001", script=code)
    assert (status, output) == (3, f"[5001, {str(ROOT)!r}]\n")


def test_outside_of_a_repository_the_error_is_one_sentence(tmp_path: Path) -> None:
    status, output = cxr14_command(tmp_path, "ui")
    assert status == 1
    assert output.startswith(f"error: {tmp_path} is not inside a cxr14 repository")
    assert output.count("\n") == 1


def test_importing_the_command_loads_no_large_library() -> None:
    code = f"import json, sys, {ENTRY.module}; print(json.dumps(list(sys.modules)))"
    modules = json.loads(cxr14_command(ROOT, script=code)[1])
    assert {"torch", "pandas", "numpy", "mlflow", "pydantic"}.isdisjoint(modules)


def test_the_version_is_the_same_in_all_files() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    changed = re.findall(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changed[0] == version
    assert re.fullmatch(r"\d+\.\d+\.\d+", cxr14.__version__)


def test_the_package_is_marked_as_typed() -> None:
    assert Path(cxr14.__file__).with_name("py.typed").exists()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, as a user gets it."""
    folder = tmp_path_factory.mktemp("clone") / "cxr14"
    clone_into(folder)
    return folder


def test_without_names_use_lists_the_recipes(clone: Path) -> None:
    _, output = cxr14_command(clone, "use")
    assert re.search(r"^wang2017 +Wang et al\. 2017", output, re.MULTILINE)
    assert run(clone, "git", "status", "--porcelain") == ""


def test_use_prints_what_changes_and_what_will_run(clone: Path) -> None:
    status, output = cxr14_command(clone, "use", "nih", "wang2017", "--set", "train.epochs=3")
    assert status == 0
    assert re.search(r"data\.source\W+phantom\W+nih", output)
    assert re.search(r"train\.epochs\W+3", output) is None  # equal before
    assert "`dvc repro` will run: download, patient-split, " in output
    assert run(clone, "git", "status", "--porcelain").split() == ["M", "params.yaml"]
    assert cxr14_command(clone, "use", "phantom")[0] == 0
    assert run(clone, "git", "status", "--porcelain") == ""
    assert "nothing changes" in cxr14_command(clone, "use", "phantom")[1]


def test_a_value_that_is_not_allowed_changes_nothing(clone: Path) -> None:
    status, output = cxr14_command(clone, "use", "folder", "ours")
    assert (status, output.count("\n")) == (1, 1)
    assert "data.folder names none; set data.folder" in output
    assert run(clone, "git", "status", "--porcelain") == ""


def test_run_makes_an_experiment_with_the_params_that_use_would_write(clone: Path) -> None:
    words = ["nih", "chexnet", "--set", "data.mirror=/it's there"]
    status, output = cxr14_command(clone, "run", "first", *words, "--queue")
    assert status == 0, output
    assert run(clone, "git", "status", "--porcelain") == ""
    commit = run(clone, "git", "rev-parse", "refs/exps/celery/stash").strip()
    queued = YAML(typ="safe").load(run(clone, "git", "show", f"{commit}:params.yaml"))
    cxr14_command(clone, "use", *words)
    used = YAML(typ="safe").load((clone / "params.yaml").read_text())
    run(clone, "git", "checkout", "--quiet", "params.yaml")
    overrides = queued["train"].pop("overrides")
    assert not any(overrides.values())
    assert used["train"].pop("overrides") == {"densenet121": {}}
    assert queued == used


def test_the_layers_that_can_be_frozen_are_listed_with_their_numbers() -> None:
    lines = CliRunner().invoke(app, ["layers", "alexnet"]).output.splitlines()
    assert lines[0].split() == ["train.freeze", "layer", "kind", "parameters", "frozen"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4", "5"]
    assert lines[-1].split() == ["5", "10", "Conv2d", "590,080", "2,469,696"]
    refused = CliRunner().invoke(app, ["layers", "resnet19"]).exception
    assert "unknown backbone 'resnet19'" in str(refused)
