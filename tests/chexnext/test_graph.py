"""chexnext/dvc.yaml: its deps cover the code, and its params the keys that are read."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.imports import covers, effective_files, needed_files

ROOT = Path(__file__).resolve().parents[2]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "chexnext/dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "chexnext/params.yaml").read_text())


def script_of(name: str) -> Path:
    """The file that a stage's command runs."""
    match = re.search(r"python -m (stages\.chexnext\.\w+)", STAGES[name]["cmd"])
    assert match, STAGES[name]["cmd"]
    return Path(match[1].replace(".", "/") + ".py")


def code(name: str) -> list[str]:
    """The code among a stage's deps."""
    return [dep for dep in STAGES[name]["deps"] if dep.startswith(("src/", "stages/"))]


def declared(name: str) -> tuple[set[str], set[str]]:
    """Params of params.yaml, and of chexnext/params.yaml, that a stage declares."""
    roots: set[str] = set()
    own: set[str] = set()
    for param in STAGES[name].get("params", []):
        if isinstance(param, dict):
            own.update(param["chexnext/params.yaml"])
        else:
            roots.add(param)
    return roots, own


@pytest.mark.parametrize("name", STAGES)
def test_the_deps_are_the_modules_that_can_change_the_outputs_of_a_stage(name: str) -> None:
    needed = effective_files(script_of(name))
    assert [file for file in needed if not any(covers(dep, file) for dep in code(name))] == []
    imported = needed_files(script_of(name))
    assert [dep for dep in code(name) if not any(covers(dep, file) for file in imported)] == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_runs_in_the_root_of_the_repository(name: str) -> None:
    assert STAGES[name]["wdir"] == ".."


def test_every_block_of_the_params_makes_a_stage_stale() -> None:
    blocks = {key.split(".")[0] for name in STAGES for key in declared(name)[1]}
    assert blocks == set(PARAMS)


def test_one_more_seed_is_in_no_params_of_a_training() -> None:
    """The matrix names the seeds; a training that watched the list would run again."""
    for name in ("member", "student"):
        assert not {"members", "students", "members.seeds"} & declared(name)[1]
        assert "seeds" in STAGES[name]["matrix"]["seed"]
    assert "members.folds" in declared("member")[1]
    assert not {key for key in declared("student")[1] if key.startswith("members")}


def test_students_and_scores_never_depend_on_relabelled_validation_labels() -> None:
    """Selection, thresholds and calibration go by the labels as they were."""
    assert "chexnext/data/relabelled/students.parquet" in STAGES["student"]["deps"]
    readers = {
        name
        for name, stage in STAGES.items()
        if any(dep in ("chexnext/data", "chexnext/data/relabelled") for dep in stage["deps"])
        or any(dep.endswith("relabelled/labels.parquet") for dep in stage["deps"])
    }
    assert readers == set()
    assert "chexnext/data/labels.parquet" in STAGES["evaluate"]["deps"]
