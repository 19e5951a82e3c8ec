"""Runs of a `dvc exp` lie under one parent, also when they begin at once or are rebuilt."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import register
from cxr14.tracking.runs import KIND, find_origin, find_runs, start_run
from cxr14.tracking.store import connect
from tests.sources import PHANTOM

SOURCE = Path(__file__).resolve().parents[2] / "src"
BASELINE = "b" * 40
TRAIN = """
import sys
from cxr14.datasets.records import Source
from cxr14.tracking.runs import start_run
source = Source("phantom", phantom=True, official_split=False)
run = start_run("stages/train.py", sys.argv[1], "alexnet", {}, source)
run.log_epoch({"epoch": 1, "loss": 2.0})
run.finish({})
"""


def under(monkeypatch: pytest.MonkeyPatch, name: str, baseline: str = BASELINE) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", name)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", baseline)


def train(identity: str) -> None:
    start_run("stages/train.py", identity, "alexnet", {}, PHANTOM).finish({})


def tree() -> dict[str, list[str]]:
    """Names of the parents, and the identities of the runs under each; "" for the top."""
    client, experiment = connect()
    runs = client.search_runs([experiment])
    names = {r.info.run_id: r.info.run_name for r in runs if KIND in r.data.tags}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    assert len(found) == len(names), "a parent is there twice"
    for run in runs:
        if run.info.run_id not in names:
            parent = names.get(run.data.tags.get("mlflow.parentRunId"), "")
            found.setdefault(parent, []).append(run.data.tags["cxr14.identity"][:2])
    return {name: sorted(identities) for name, identities in found.items()}


def test_an_experiment_has_one_parent_with_its_runs_and_a_plain_repro_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("a1")
    under(monkeypatch, "it's-new")  # DVC allows the quote
    train("b2")
    train("c3")
    train("b2")  # again: nothing new
    under(monkeypatch, "other")
    train("d4")
    assert tree() == {"": ["a1"], "it's-new": ["b2", "c3"], "other": ["d4"]}
    client, experiment = connect()
    (parent,) = client.search_runs([experiment], "attributes.run_name = 'other'")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["DVC_EXP_BASELINE_REV"] == BASELINE


def test_the_same_name_on_another_baseline_is_another_experiment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, experiment = connect()
    for baseline, identity in (("b" * 40, "a1"), ("c" * 40, "b2")):
        under(monkeypatch, "again", baseline)
        train(identity)
    parents = client.search_runs([experiment], "attributes.run_name = 'again'")
    assert {run.data.tags["DVC_EXP_BASELINE_REV"] for run in parents} == {"b" * 40, "c" * 40}


def test_two_trainings_that_begin_at_once_share_their_parent(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(monkeypatch, "pair")
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    pair = [
        subprocess.Popen([sys.executable, "-c", TRAIN, name], env=environment)
        for name in ("a1", "b2")
    ]
    assert [process.wait() for process in pair] == [0, 0]
    assert tree() == {"pair": ["a1", "b2"]}


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_lock(alexnet: str, googlenet: str) -> str:
    """Commit a dvc.lock with these models, as DVC lays it out."""
    models = (("alexnet", alexnet), ("googlenet", googlenet))
    outs = [f"    - path: models/{n}\n      hash: md5\n      md5: {m}.dir\n" for n, m in models]
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  train:\n    outs:\n" + "".join(outs))
    git("add", "dvc.lock")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "-m", "lock")
    return git("rev-parse", "HEAD")


def test_a_deleted_store_gets_the_experiments_back_from_what_dvc_recorded(
    project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet")
    assert find_origin("alexnet") == {}  # nothing committed
    baseline = commit_lock("1" * 32, "2" * 32)
    changed = commit_lock("3" * 32, "2" * 32)  # the experiment trained alexnet alone
    git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/brave-idea", changed)
    git("update-ref", "refs/exps/exec/EXEC_HEAD", changed)  # DVC's bookkeeping
    register(find_trained(["alexnet", "googlenet"]))
    client, experiment = connect()
    (run,) = find_runs(client, experiment, find_trained(["alexnet"])[0].identity)
    assert run.data.tags["DVC_EXP_NAME"] == "brave-idea"
    assert run.data.tags["DVC_EXP_BASELINE_REV"] == baseline
    rebuilt = tree()
    assert rebuilt == {"": ["00"], "brave-idea": ["00"]}

    fresh = project / "fresh"  # as the experiment itself would have recorded it
    fresh.mkdir()
    shutil.copyfile(empty_store, fresh / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(fresh))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # set by MLflow, for its children
    under(monkeypatch, "brave-idea", baseline)
    register(find_trained(["alexnet"]))
    assert tree() == {"brave-idea": ["00"]}
