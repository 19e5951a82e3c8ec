"""The whole graph at a tiny scale, in a clone of its own, by the commands that people use."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cxr14.findings import CLASSES
from tests.clones import commit, copy_into, run, start

BACKBONES = ["alexnet", "googlenet"]
UNWEIGHTED = {
    "loss.weighting": {"old": "batch", "new": "none"},
    "train.backbones": {"old": str(BACKBONES), "new": "['alexnet']"},
}
"""What an experiment and a branch change; of one backbone, for a minute less."""


def shrink_params(path: Path) -> None:
    """Make params.yaml small: sixty phantoms, two backbones, one epoch."""
    params = yaml.safe_load(path.read_text())
    params["data"]["phantom"]["images"] = 60
    params["preprocess"]["size"] = 128
    params["train"] |= {"backbones": BACKBONES, "input_size": 64, "epochs": 1}
    params["train"]["overrides"] = {"alexnet": {"epochs": 2}, "googlenet": {}}
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository of the files as they are here, committed, run once."""
    folder = tmp_path_factory.mktemp("clone")
    copy_into(folder)
    shrink_params(folder / "params.yaml")
    start(folder)
    run(folder, "dvc", "repro")
    commit(folder, "results")
    yield folder
    shutil.rmtree(folder)


def stale(folder: Path) -> set[str]:
    """The stages that `dvc repro` would run, those after them not counted."""
    return set(json.loads(run(folder, "dvc", "status", "--json", "dvc.yaml")))


def test_every_artifact_of_the_contract_is_there(clone: Path) -> None:
    for backbone in BACKBONES:
        table = pd.read_parquet(clone / "predictions" / f"{backbone}.parquet")
        assert set(table.split) == {"val", "test"}
        assert [f"probability {name}" for name in CLASSES] == list(table.columns[-15:])
        assert (clone / "models" / backbone / "weights.safetensors").exists()
        assert (clone / "evaluation" / backbone / "decision.json").exists()
        assert (clone / "localization" / backbone / "detections.parquet").exists()
        history = pd.read_csv(clone / "plots" / "train" / f"{backbone}.csv")
        assert list(history.epoch) == ([1, 2] if backbone == "alexnet" else [1])
    split = pd.read_parquet(clone / "data" / "split" / "split.parquet")
    assert len(split) == 112_120
    assert (split.groupby("patient").split.nunique() == 1).all()


def test_the_summary_has_numbers_for_every_backbone_and_says_phantom(clone: Path) -> None:
    summary = json.loads((clone / "metrics" / "summary.json").read_text())
    assert {*BACKBONES, "baseline", "phantom", "official_split"} == set(summary)
    assert summary["phantom"] == 1
    assert all(0 <= summary[name]["test_macro_auroc"] <= 1 for name in BACKBONES)
    page = (clone / "report" / "index.html").read_text()
    assert "says nothing about patients" in page
    # Not "http", which a picture's base64 may happen to hold; that has no colon.
    assert "://" not in page.replace("http://www.w3.org", "")


def test_a_second_repro_has_nothing_to_do(clone: Path) -> None:
    assert "up to date" in run(clone, "dvc", "repro")
    assert stale(clone) == set()


def test_another_loss_makes_training_stale_and_nothing_before_it(clone: Path) -> None:
    params = clone / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("weighting: batch", "weighting: none"))
    assert stale(clone) == {f"train@{name}" for name in BACKBONES}
    params.write_text(before.replace("googlenet: {}", "googlenet: {epochs: 3}"))
    assert stale(clone) == {"train@googlenet"}
    params.write_text(before.replace("findings: all", "findings: [Mass, Nodule]"))
    assert stale(clone) == {f"train@{name}" for name in BACKBONES}
    params.write_text(before)


def test_an_edit_of_the_report_makes_the_report_stale_alone(clone: Path) -> None:
    page = clone / "src" / "cxr14" / "report" / "page.py"
    before = page.read_text()
    page.write_text(before + "\n")
    assert stale(clone) == {"report"}
    page.write_text(before)


def test_an_edit_of_a_saliency_method_never_retrains(clone: Path) -> None:
    saliency = clone / "src" / "cxr14" / "localization" / "saliency.py"
    before = saliency.read_text()
    saliency.write_text(before + "\n")
    assert stale(clone) == {f"localize-iobb@{name}" for name in BACKBONES}
    saliency.write_text(before)


def test_an_experiment_in_a_temporary_workspace_reaches_the_same_store(clone: Path) -> None:
    changes = ("-S", "loss.weighting=none", "-S", "train.backbones=[alexnet]")
    run(clone, "dvc", "exp", "run", "--temp", "--name", "unweighted", *changes)
    assert run(clone, "git", "status", "--porcelain") == ""
    count = "import mlflow, cxr14.tracking.store as s; c, e = s.connect(); print(len(c.search_runs([e])))"
    # Two runs of the first repro, one of the experiment, and the one that it lies below.
    assert run(clone, sys.executable, "-c", count).split()[-1] == "4"
    different = run(clone, "dvc", "exp", "diff", "HEAD", "unweighted", "--json")
    assert json.loads(different)["params"]["params.yaml"] == UNWEIGHTED


def test_branches_are_compared_by_params_metrics_and_plots_without_a_network(clone: Path) -> None:
    """The other branch's results come from the experiment of the same params (the run cache)."""
    main = run(clone, "git", "branch", "--show-current").strip()
    run(clone, "git", "switch", "--quiet", "--create", "unweighted")
    params = clone / "params.yaml"
    params.write_text(
        params.read_text()
        .replace("weighting: batch", "weighting: none")
        .replace("- alexnet\n  - googlenet", "- alexnet")
    )
    run(clone, "dvc", "repro")
    commit(clone, "Unweighted loss")
    different = run(clone, "dvc", "params", "diff", main, "unweighted", "--json")
    assert json.loads(different) == {"params.yaml": UNWEIGHTED}
    changes = json.loads(run(clone, "dvc", "metrics", "diff", main, "unweighted", "--json"))
    change = changes["metrics/summary.json"]["alexnet.test_macro_auroc"]
    assert change["diff"] == pytest.approx(change["new"] - change["old"])
    run(clone, "dvc", "plots", "diff", main, "unweighted", "--out", "dvc_plots")
    page = (clone / "dvc_plots" / "index.html").read_text()
    assert "finding (click to pick)" in page
    assert "validation_macro_auroc" in page
    assert 'src="http' not in page
    run(clone, "git", "switch", "--quiet", main)
    run(clone, "dvc", "checkout", "dvc.yaml")
    assert stale(clone) <= {"register"}  # what it wrote is of this machine, and of the last run
