"""dvc.yaml: its deps cover the code, its params cover the keys, and it runs."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxr14.config.blocks import TrainParams
from cxr14.config.check import BLOCKS
from tests.imports import covers, effective_files, imported_names, needed_files

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def script_of(stage: dict[str, Any]) -> Path:
    """The file that a stage's command runs."""
    match = re.search(r"python -m stages\.(\w+)", stage["cmd"])
    assert match, stage["cmd"]
    return Path("stages") / f"{match[1]}.py"


def code_deps(stage: dict[str, Any]) -> list[str]:
    """Those deps that are code: files, or whole packages; not the mappings, which are YAML."""
    deps = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
    return [dep for dep in deps if dep.endswith(".py") or any((ROOT / dep).glob("*.py"))]


def missing_deps(name: str, root: Path = ROOT) -> set[str]:
    """Files that can change what a stage writes and that it does not declare."""
    stage = STAGES[name]
    needed = effective_files(script_of(stage), root)
    return {file for file in needed if not any(covers(dep, file) for dep in code_deps(stage))}


@pytest.mark.parametrize("name", STAGES)
def test_every_module_that_can_change_the_outputs_of_a_stage_is_in_its_deps(name: str) -> None:
    assert missing_deps(name) == set()


@pytest.mark.parametrize(
    ("dep", "missing"),
    [
        ("src/cxr14/metrics/auroc.py", {"src/cxr14/metrics/auroc.py"}),
        ("src/cxr14/labels.py", {"src/cxr14/labels.py"}),
    ],
)
def test_a_dep_that_is_taken_out_is_found_missing(
    monkeypatch: pytest.MonkeyPatch, dep: str, missing: set[str]
) -> None:
    deps = [other for other in STAGES["train"]["deps"] if other != dep]
    monkeypatch.setitem(STAGES["train"], "deps", deps)
    assert missing_deps("train") == missing


def test_a_package_that_is_taken_out_is_found_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    deps = [dep for dep in STAGES["train"]["deps"] if dep != "src/cxr14/models"]
    monkeypatch.setitem(STAGES["train"], "deps", deps)
    assert "src/cxr14/models/network.py" in missing_deps("train")


def test_an_import_inside_a_function_is_found_too(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    script = tmp_path / "stages" / "baseline.py"
    script.write_text(script.read_text() + "\ndef late() -> None:\n    import cxr14.report.page\n")
    assert "src/cxr14/report/page.py" in missing_deps("baseline", tmp_path)


@pytest.mark.parametrize("name", STAGES)
def test_no_dep_names_code_that_the_stage_does_not_need(name: str) -> None:
    stage = STAGES[name]
    needed = needed_files(script_of(stage))
    assert [dep for dep in code_deps(stage) if not any(covers(dep, file) for file in needed)] == []


def test_both_graphs_are_short_enough_to_read() -> None:
    graphs = ("dvc.yaml", "chexnext/dvc.yaml")
    assert sum(len((ROOT / file).read_text().splitlines()) for file in graphs) < 500


def test_the_models_of_all_default_backbones_and_the_page_have_names() -> None:
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    backbones = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]["backbones"]
    paths = {name: artifact["path"] for name, artifact in artifacts.items()}
    assert paths == {name: f"models/{name}" for name in backbones} | {"page": "report"}


def overlap(one: str, other: str) -> bool:
    """Tell whether one path is the other, or lies in it."""
    return covers(one, other) or covers(other, one)


def outputs_of(stage: dict[str, Any]) -> list[str]:
    """All that a stage writes."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def reads(stage: dict[str, Any], output: str) -> bool:
    """Tell whether an output is among the deps of a stage."""
    return any(overlap(dep, output) for dep in stage["deps"])


def and_after(first: set[str]) -> set[str]:
    """The stages that run again if the outputs of the first ones change."""
    found: set[str] = set()
    todo = set(first)
    while todo:
        found |= todo
        written = [output for name in todo for output in outputs_of(STAGES[name])]
        todo = {n for n in STAGES if any(reads(STAGES[n], out) for out in written)} - found
    return found


LATE = {"compare", "sheets", "report", "register"}
SCORED = {"evaluate", "external", "localize-iobb", "serving"} | LATE
STALENESS = [
    # An edit of, makes stale at once, and all that is stale if their outputs change.
    ("src/cxr14/tracking/runs.py", {"register"}, {"register"}),
    ("src/cxr14/console.py", {"sheets", "report"}, {"sheets", "report", "register"}),
    ("src/cxr14/errors.py", set(), set()),
    ("src/cxr14/report/terminal.py", {"report"}, {"report", "register"}),
    ("src/cxr14/report/page.py", {"report"}, {"report", "register"}),
    ("src/cxr14/report/elements.py", {"report"}, {"report", "register"}),
    ("src/cxr14/figures/eda.py", {"report"}, {"report", "register"}),
    ("src/cxr14/figures/subgroups.py", {"report"}, {"report", "register"}),
    ("src/cxr14/figures/style.py", {"report"}, {"report", "register"}),
    ("src/cxr14/figures/label_changes.py", set(), set()),
    ("src/cxr14/figures/overlays.py", {"sheets", "report"}, {"sheets", "report", "register"}),
    (
        "src/cxr14/localization/control_baselines.py",
        {"localize-iobb"},
        {"localize-iobb", "serving", "sheets", "report", "register"},
    ),
    (
        "src/cxr14/localization/cam.py",
        {"localize-iobb"},
        {"localize-iobb", "serving", "sheets", "report", "register"},
    ),
    ("src/cxr14/training/losses.py", {"train"}, {"train"} | SCORED),
    ("src/cxr14/training/optim.py", {"train"}, {"train"} | SCORED),
    (
        "src/cxr14/metrics/bootstrap.py",
        {"evaluate", "external", "compare", "localize-iobb", "report"},
        SCORED,
    ),
    ("src/cxr14/evaluation/subgroups.py", {"compare", "report"}, {"compare", "report", "register"}),
    ("src/cxr14/evaluation/baseline.py", {"baseline"}, {"baseline", "report", "register"}),
    (
        "src/cxr14/datasets/download.py",
        {"download", "external-data"},
        set(STAGES) - {"pretrained"},
    ),
    (
        "src/cxr14/datasets/folder_tables.py",
        {"download", "external-data"},
        set(STAGES) - {"pretrained"},
    ),
    (
        "src/cxr14/datasets/columns.py",
        {"download", "external-data", "patient-split"},
        set(STAGES) - {"pretrained"},
    ),
    (
        "src/cxr14/preprocessing/fill.py",
        {"preprocess", "external-data"},
        {"preprocess", "external-data", "eda", "input-check", "train", "serving"},
    ),
    ("src/cxr14/evaluation/external.py", {"external"}, {"external", "report", "register"}),
    ("src/cxr14/report/external.py", {"report"}, {"report", "register"}),
    (
        "src/cxr14/serving/input_check.py",
        {"input-check", "register"},
        {"input-check", "register"},
    ),
    ("src/cxr14/serving/negatives.py", {"input-check"}, {"input-check", "register"}),
    ("src/cxr14/serving/predictor.py", set(), set()),
    ("src/cxr14/config/check.py", {"check-params"}, {"check-params"}),
    (
        "src/cxr14/numerics.py",
        {"train", "evaluate", "external", "localize-iobb"},
        {"train"} | SCORED,
    ),
]
BEFORE = {"check-params", "check-outputs"}


@pytest.mark.parametrize(("file", "at_once", "after"), STALENESS)
def test_an_edit_makes_exactly_these_stages_stale(
    file: str, at_once: set[str], after: set[str]
) -> None:
    assert (ROOT / file).exists()
    stale = {n for n, stage in STAGES.items() if any(covers(d, file) for d in code_deps(stage))}
    assert stale == at_once
    if file.endswith("check.py"):
        return  # what the check writes is always the same
    if file.endswith("fill.py"):
        after |= SCORED
    assert and_after(stale) == after - BEFORE


@pytest.mark.parametrize("graph", ["dvc.yaml", "chexnext/dvc.yaml"])
def test_computing_never_formats_so_an_edit_of_a_picture_computes_nothing(graph: str) -> None:
    stages = yaml.safe_load((ROOT / graph).read_text())["stages"]
    package = ROOT / "src/cxr14"
    files = [*package.glob("figures/*.py"), *package.glob("report/*.py"), package / "console.py"]
    presented = [file.relative_to(ROOT).as_posix() for file in files]
    stale = {
        name
        for name, stage in stages.items()
        if any(covers(dep, file) for dep in code_deps(stage) for file in presented)
    }
    assert stale == {"sheets", "report"}


CHECK = "check-params"
"""Reads every key, and writes the same text whatever they are: it is no reader of their values."""


def test_the_check_watches_both_files_as_a_whole_and_comes_before_download_and_any_name() -> None:
    assert STAGES[CHECK]["params"] == [{"params.yaml": None}, {"chexnext/params.yaml": None}]
    (checked,) = STAGES[CHECK]["outs"]
    later = {name for name, stage in STAGES.items() if checked in stage["deps"]}
    assert later == {"check-outputs", "download", "pretrained", "external-data"}
    made_of_names = {name for name, stage in STAGES.items() if "matrix" in stage}
    item = "${item.backbone}"
    upstream = {f"{name}/{item}" for name in ("data/pretrained", "models", "localization")}
    assert all(upstream & set(STAGES[name]["deps"]) for name in made_of_names - later)


@pytest.mark.parametrize("file", ["dvc.yaml", "chexnext/dvc.yaml"])
def test_no_value_of_params_stands_unquoted_in_a_command(file: str) -> None:
    """DVC quotes ${item}, a dictionary, for the shell; ${item.backbone} it pastes as it is."""
    for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items():
        assert set(re.findall(r"\$\{.*?\}", stage["cmd"])) <= {"${item}"}, name
        assert ("matrix" in stage) == ("${item}" in stage["cmd"]), name


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


def blocks_read(script: Path) -> set[str]:
    """The blocks of params.yaml that a stage reads, by the readers that its files import."""
    names = {name for file in needed_files(script) for name in imported_names(ROOT / file)
             if not file.startswith("src/cxr14/config/")}  # fmt: skip
    config = [name for name in names if name.startswith("cxr14.config.")]
    readers = {name.rpartition(".read_")[2] for name in config if ".read_" in name}
    return {"data" if name == "findings" else name for name in readers} & set(BLOCKS) - {"numerics"}


@pytest.mark.parametrize("name", sorted(set(STAGES) - {CHECK, "report"}))
def test_a_stage_declares_the_params_of_the_blocks_that_it_reads(name: str) -> None:
    declared = {param.split(".")[0] for param in STAGES[name].get("params", [])} - {"numerics"}
    assert blocks_read(script_of(STAGES[name])) == declared


def test_the_report_watches_every_param_that_another_stage_has() -> None:
    """The page names the params that differ from their defaults."""
    watched = STAGES["report"]["params"]
    others = {param for name in set(STAGES) - {CHECK, "check-outputs"} for param in
              STAGES[name].get("params", [])}  # fmt: skip
    known = [p for p in others if any(p == w or p.startswith(f"{w}.") for w in watched)]
    assert others - set(known) == set()


@pytest.mark.parametrize(
    ("graph", "running"),
    [
        ("dvc.yaml", {"train", "evaluate", "external", "localize-iobb", "report"}),
        (
            "chexnext/dvc.yaml",
            {"member", "student", "predict-member", "predict-student", "localize"},
        ),
    ],
)
def test_the_stages_that_run_a_network_and_no_others_depend_on_numerics(
    graph: str, running: set[str]
) -> None:
    """`stages` reads the key for all of them, and only torch's part of it is a choice."""
    stages = yaml.safe_load((ROOT / graph).read_text())["stages"]
    assert {name for name in stages if "numerics" in stages[name].get("params", [])} == running
    code = {name for name in stages if "src/cxr14/numerics.py" in stages[name]["deps"]}
    assert code == running - {"report"}  # which only names its value


def test_the_choice_of_findings_reaches_train_alone_and_without_the_rest_of_its_block() -> None:
    readers = {name for name, stage in STAGES.items() if "data.findings" in stage.get("params", [])}
    assert readers == {"train", "report"}
    assert not [name for name in STAGES if "data" in STAGES[name].get("params", [])]
    assert "cxr14.config.blocks.read_data" not in imported_names(ROOT / "stages/train.py")


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
