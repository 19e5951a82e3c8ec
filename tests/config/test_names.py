"""Names from params reach no shell and no path: the graph itself, run by DVC in a clone."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cxr14.errors import UserError
from cxr14.labels import STUDIED, check_name
from tests.clones import clone_into, environment

pytestmark = pytest.mark.graph

HOSTILE = [
    ["a; touch HACKED"],
    ["alexnet", "$(touch HACKED)"],
    ["a'\ntouch HACKED\n"],
    ["../../docs"],
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a b") / "clone"
    clone_into(folder)
    return folder


def dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def write(clone):
    """Change a block of a params file; afterwards the clone is as it was but for results."""
    before = {path: (clone / path).read_text() for path in ("params.yaml", "chexnext/params.yaml")}

    def write(file: str, block: str, **values) -> None:
        content = yaml.safe_load((clone / file).read_text())
        content[block] |= values
        (clone / file).write_text(yaml.safe_dump(content))

    yield write
    for path, text in before.items():
        (clone / path).write_text(text)


def untouched(clone: Path) -> bool:
    """Whether nothing was executed, removed or written but params."""
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    left = [line for line in changed if line and not line.endswith("params.yaml")]
    return not left and not list(clone.parent.rglob("HACKED*"))


@pytest.mark.parametrize("names", HOSTILE, ids=ascii)
def test_a_hostile_name_ends_dvc_repro_before_any_stage_of_its_own(clone, write, names):
    write("params.yaml", "train", backbones=names)
    done = dvc(clone, "repro")
    assert done.returncode
    assert untouched(clone)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "is not the name of a backbone" in said or "is specified in" in said  # DVC's own
    assert "Running stage 'pretrained" not in said


@pytest.mark.parametrize("group", ["members", "students"])
def test_a_hostile_seed_or_name_of_the_second_pipeline_is_refused_too(clone, write, group):
    write("chexnext/params.yaml", group, seeds=["0; touch HACKED"], backbones=["a; touch HACKED"])
    done = dvc(clone, "repro", "chexnext/dvc.yaml")
    assert done.returncode
    assert untouched(clone)
    assert f"{group}.seeds.0 = '0; touch HACKED': input should be a valid integer" in done.stderr
    assert "is not the name of a backbone" in done.stderr


def test_a_hostile_name_given_to_an_experiment_is_refused(clone, write):
    done = dvc(clone, "exp", "run", "-S", 'train.backbones=["$(touch HACKED)"]', "train")
    assert done.returncode
    assert untouched(clone)
    assert "is not the name of a backbone" in done.stderr


def test_a_single_stage_gets_its_name_quoted(clone, write):
    """With --single-item DVC leaves out the check; the shell and the stage itself are left."""
    write("params.yaml", "train", backbones=["a; touch HACKED"])
    (clone / "data").mkdir(exist_ok=True)
    for mark in ("params_checked.txt", "outputs_checked.json"):
        (clone / "data" / mark).write_text("of an earlier run\n")
    done = dvc(clone, "repro", "--single-item", "pretrained@a; touch HACKED")
    assert done.returncode
    assert untouched(clone)
    assert "is not the name of a backbone" in done.stderr


def test_a_valid_change_checks_again_and_runs_nothing_because_of_it(clone, write):
    write("params.yaml", "train", epochs=3)
    assert dvc(clone, "repro", "check-params").returncode == 0
    checked = (clone / "data/params_checked.txt").read_bytes()
    write("params.yaml", "train", epochs=4)
    done = dvc(clone, "repro", "check-params")
    assert "Running stage 'check-params'" in done.stdout
    assert (clone / "data/params_checked.txt").read_bytes() == checked
    assert "didn't change" in dvc(clone, "repro", "check-params").stdout
    subprocess.run(["git", "checkout", "--quiet", "dvc.lock"], cwd=clone, check=True)


def test_torchvisions_names_are_names():
    import torchvision

    for name in (*STUDIED, *torchvision.models.list_models(module=torchvision.models)):
        assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "../a", "a\n", "é", "a" * 65, "-a;"], ids=ascii)
def test_anything_else_is_none(name):
    with pytest.raises(UserError, match="is not the name of a backbone"):
        check_name(name)
