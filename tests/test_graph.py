"""dvc.yaml: its deps cover the code, its params cover the keys, and it runs."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxr14.params.data import DataParams
from cxr14.params.evaluate import EvaluateParams
from cxr14.params.localize import LocalizeParams
from cxr14.params.loss import LossParams
from cxr14.params.model import ModelParams
from cxr14.params.preprocess import PreprocessParams
from cxr14.params.split import SplitParams
from cxr14.params.train import TrainParams
from tests.imports import needed_files, unfolded

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PYFUNC = "src/cxr14/tracking/pyfunc_model.py"  # loaded by its path, not imported


def script_of(stage: dict[str, Any]) -> Path:
    """The file that a stage's command runs."""
    match = re.search(r"python -m stages\.(\w+)", stage["cmd"])
    assert match, stage["cmd"]
    return Path("stages") / f"{match[1]}.py"


def code_deps(stage: dict[str, Any]) -> list[str]:
    """Those deps that are code: files, or whole rooms."""
    return [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]


def missing_deps(name: str, root: Path = ROOT) -> set[str]:
    """Files that a stage needs and does not declare."""
    stage = STAGES[name]
    needed = needed_files(script_of(stage), root)
    if name == "register":
        needed |= needed_files(Path(PYFUNC), root)
    return needed - unfolded(code_deps(stage), root)


@pytest.mark.parametrize("name", STAGES)
def test_every_module_that_a_stage_imports_is_in_its_deps(name: str) -> None:
    assert missing_deps(name) == set()


def test_a_dep_that_is_taken_out_is_found_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    deps = [dep for dep in STAGES["train"]["deps"] if not dep.endswith("models/head.py")]
    monkeypatch.setitem(STAGES["train"], "deps", deps)
    assert missing_deps("train") == {"src/cxr14/models/head.py"}


def test_an_import_inside_a_function_is_found_too(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    script = tmp_path / "stages" / "baseline.py"
    script.write_text(script.read_text() + "\ndef late() -> None:\n    import cxr14.report.page\n")
    assert "src/cxr14/report/page.py" in missing_deps("baseline", tmp_path)


@pytest.mark.parametrize("name", STAGES)
def test_no_dep_names_code_that_the_stage_does_not_need(name: str) -> None:
    stage = STAGES[name]
    needed = needed_files(script_of(stage)) | (
        needed_files(Path(PYFUNC)) if name == "register" else set()
    )
    assert unfolded(code_deps(stage)) <= needed


def test_an_edit_to_the_reading_of_tables_runs_nothing_that_learns() -> None:
    readers = {
        name
        for name, stage in STAGES.items()
        if any(dep.startswith("src/cxr14/data/tables") for dep in stage["deps"])
    }
    assert readers == {"download", "patient-split"}


CHECK = "check-params"
"""Reads every key, and writes the same text whatever they are: it is no reader of their values."""


def test_the_check_watches_both_files_as_a_whole_and_comes_before_download_and_any_name() -> None:
    assert STAGES[CHECK]["params"] == [{"params.yaml": None}, {"chexnext/params.yaml": None}]
    (checked,) = STAGES[CHECK]["outs"]
    later = {name for name, stage in STAGES.items() if checked in stage["deps"]}
    assert later == {"check-outputs", "download", "pretrained"}
    made_of_names = {name for name, stage in STAGES.items() if "matrix" in stage}
    upstream = {"data/pretrained/${item.backbone}", "models/${item.backbone}"}
    assert all(upstream & set(STAGES[name]["deps"]) for name in made_of_names - later)


def test_the_check_is_code_that_no_other_stage_depends_on() -> None:
    """Else a change to the params of a late stage would run the download again."""
    for name in set(STAGES) - {CHECK}:
        assert "src/cxr14/params/check.py" not in needed_files(script_of(STAGES[name]))


@pytest.mark.parametrize("file", ["dvc.yaml", "chexnext/dvc.yaml"])
def test_no_value_of_params_stands_unquoted_in_a_command(file: str) -> None:
    """DVC quotes ${item}, a dictionary, for the shell; ${item.backbone} it pastes as it is."""
    for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items():
        assert set(re.findall(r"\$\{.*?\}", stage["cmd"])) <= {"${item}"}, name
        assert ("matrix" in stage) == ("${item}" in stage["cmd"]), name


BLOCKS = {
    "data": DataParams,
    "split": SplitParams,
    "preprocess": PreprocessParams,
    "model": ModelParams,
    "loss": LossParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "localize": LocalizeParams,
}
NEUTRAL = {
    "data.mirror",
    "data.connections",
    "preprocess.workers",
    "preprocess.engine",
    "preprocess.scheduler",
}
"""Keys that never change a byte, and so never make a stage stale."""


def leaves(values: Any, prefix: str) -> set[str]:
    """Dotted names of all keys, without the entries of train.overrides."""
    if not isinstance(values, dict) or prefix == "train.overrides":
        return {prefix}
    return set().union(*(leaves(value, f"{prefix}.{key}") for key, value in values.items()))


def test_every_key_of_params_yaml_is_in_the_params_of_a_stage() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(params) == set(BLOCKS)
    keys = set().union(*(leaves(values, block) for block, values in params.items())) - NEUTRAL
    declared = {
        param
        for name, stage in STAGES.items()
        if name != CHECK
        for param in stage.get("params", [])
    }
    declared |= {"train.overrides"} if "train.overrides.${item.backbone}" in declared else set()
    assert {
        key for key in keys if not any(f"{key}.".startswith(f"{d}.") for d in declared)
    } == set()


@pytest.mark.parametrize("name", sorted(set(STAGES) - {CHECK}))
def test_a_stage_declares_the_params_of_the_blocks_that_it_reads(name: str) -> None:
    needed = needed_files(script_of(STAGES[name]))
    modules = {Path(file).stem for file in needed if file.startswith("src/cxr14/params/")}
    read = {"data" if module == "findings" else module for module in modules}  # a key of `data`
    declared = {param.split(".")[0] for param in STAGES[name].get("params", [])}
    assert read & set(BLOCKS) == declared


def test_the_choice_of_findings_reaches_train_alone_and_without_the_rest_of_its_block() -> None:
    readers = {name for name, stage in STAGES.items() if "data.findings" in stage.get("params", [])}
    assert readers == {"train"}
    assert not [name for name in STAGES if "data" in STAGES[name].get("params", [])]
    assert "src/cxr14/params/data.py" not in needed_files(script_of(STAGES["train"]))


def test_the_words_of_the_train_block_are_all_watched_by_train() -> None:
    watched = set(STAGES["train"]["params"])
    own = {f"train.{key}" for key in TrainParams.model_fields} - {
        "train.backbones",
        "train.overrides",
    }
    assert own <= watched
    assert "train.overrides.${item.backbone}" in watched


@pytest.mark.parametrize(
    ("file", "stages"),
    [("dvc.yaml", ["train", "baseline"]), ("chexnext/dvc.yaml", ["member", "student"])],
)
def test_plots_of_bare_numbers_name_the_source_of_the_images(file: str, stages: list[str]) -> None:
    """DVC draws them from bare numbers: only a title can say that they are of phantoms."""
    graph = yaml.safe_load((ROOT / file).read_text())["stages"]
    for name in stages:
        (curve,) = (look for plot in graph[name]["plots"] for look in plot.values())
        assert "data.source: ${data.source}" in curve["title"]
