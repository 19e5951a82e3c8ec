"""The queue and what is read from it, with DVC itself, in a project that learns nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ablation import queue
from ablation.collect import collect
from ablation.plan import REFERENCE, Experiment
from tests.sources import PHANTOM

pytestmark = pytest.mark.graph

GRAPH = """
stages:
  prepare:
    cmd: python make.py prepare
    deps: [make.py]
    outs: [data]
  evaluate:
    matrix: {backbone: "${train.backbones}"}
    cmd: python make.py ${item.backbone}
    deps: [make.py, data]
    params: [train.seed]
    outs: ["predictions/${item.backbone}.parquet", "evaluation/${item.backbone}"]
"""
MAKE = """
import json, sys, time
from pathlib import Path
import numpy as np, pandas as pd, yaml
from cxr14.labels import CLASSES, LABEL_COLUMNS
names = [f"{n}.png" for n in range(9)]
def save(path, table):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)
if sys.argv[1] == "prepare":
    labels = {name: np.arange(9) % (place + 2) == 0 for place, name in enumerate(LABEL_COLUMNS)}
    save("data/records/images.parquet", pd.DataFrame({"image": names, "patient": range(9)} | labels))
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    save("data/split/split.parquet", pd.DataFrame({"image": names, "split": parts}))
    save("data/cache/index.parquet", pd.DataFrame({"image": names[1:]}))
    Path("data/records/source.json").write_text(
        json.dumps({"source": "phantom", "phantom": True, "official_split": False})
    )
else:
    seed = yaml.safe_load(open("params.yaml"))["train"]["seed"]
    time.sleep(2)  # so that a query meets it
    if seed == 2:
        sys.exit("seed 2 is not to my taste")
    answers = {f"{kind} {name}": float(seed) for kind in ("logit", "probability") for name in CLASSES}
    parts = {"image": names[4:][::-1], "split": ["test"] * 3 + ["val"] * 2}
    save(f"predictions/{sys.argv[1]}.parquet", pd.DataFrame(parts | answers))
    folder = Path("evaluation", sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = dict.fromkeys(CLASSES, 0.5) | {"Hernia": None}
    decision = {"thresholds": thresholds, "platt": dict.fromkeys(CLASSES), "reasons": {}}
    (folder / "decision.json").write_text(json.dumps(decision))
"""


def experiment(seed, backbones="alexnet"):
    settings = (f"train.seed={seed}", f"train.backbones=[{backbones}]")
    return Experiment(f"seed-{seed}", REFERENCE, seed, settings)


GOOD, BAD = experiment(3, "alexnet,vgg16"), experiment(2)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A committed DVC project, never run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "make.py").write_text(MAKE)
    (folder / "params.yaml").write_text("train:\n  seed: 1\n  backbones:\n  - alexnet\n")
    for command in (
        "git init --quiet",
        "git config user.email tests@example.org",
        "git config user.name tests",
        f"{sys.executable} -m dvc init --quiet",
        "git add --all",
        "git commit --quiet --message start",
    ):
        subprocess.run(command.split(), cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def worked_off(project):
    """Two experiments, one of which fails; what was seen on the way."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        source = Path(__file__).resolve().parents[2] / "src"
        patch.setenv("PYTHONPATH", str(source), prepend=os.pathsep)
        commit = queue.head(project)
        added = [queue.enqueue(project, commit, [GOOD, BAD]) for _ in range(2)]
        queue.call(project, "dvc", "queue", "start")
        names = [GOOD.name, BAD.name]
        failed = queue.wait(project, commit, names, lambda *now: seen.append(now), 0.5)
        yield commit, added, failed, seen
        queue.call(project, "dvc", "queue", "stop", "--kill")


def test_an_experiment_is_queued_once(worked_off):
    assert worked_off[1] == [2, 0]


def test_progress_names_what_runs_and_ends_with_all(worked_off):
    seen = worked_off[-1]
    assert (0, [GOOD.name]) in seen
    assert seen[-1] == (2, [])


def test_a_failure_is_named_with_its_last_words(project, worked_off):
    commit, _, failed, _ = worked_off
    assert failed == [BAD.name]
    assert "seed 2 is not to my taste" in queue.last_output(project, commit, BAD.name)


def test_results_are_read_from_the_cache_and_the_work_tree_stays_as_it_was(project, worked_off):
    done = queue.finished(project, worked_off[0])
    assert list(done) == [GOOD.name]
    assert not (project / "predictions").exists()
    truth, networks = collect(project, done, ["alexnet", "vgg16"])
    answers = networks[GOOD.name, "vgg16"]
    assert (answers.logits == 3).all()
    assert np.isnan(answers.thresholds).tolist() == [False] * 13 + [True, False]
    assert truth.patients.tolist() == [6, 7, 8]
    assert truth.labels[0, :3].tolist() == [1, 1, 0]
    assert truth.source == PHANTOM
    rare = ["Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"]  # 0.png is not in the cache
    assert truth.rare == dict.fromkeys(rare, 0)
    with pytest.raises(FileNotFoundError, match=r"seed-3: predictions/resnet50\.parquet is not in"):
        collect(project, done, ["resnet50"])


def test_only_what_failed_is_queued_again(project, worked_off):
    commit, *_ = worked_off
    assert queue.enqueue(project, commit, [GOOD, BAD]) == 1
    task = queue.status(project, commit)[0][BAD.name]
    assert task.state in ("Queued", "Running")  # the worker may still be there


def test_a_changed_work_tree_is_refused(project, worked_off):
    (project / "params.yaml").write_text("train: {}\n")
    with pytest.raises(ValueError, match=r"params\.yaml first.*commit or stash"):
        queue.head(project)


def test_the_state_is_known_after_git_has_collected_what_ended(project, worked_off):
    """DVC refuses to list a queue with the commit of an ended task that is gone."""
    for command in ("git reflog expire --expire=now --all", "git gc --quiet --prune=now"):
        subprocess.run(command.split(), cwd=project, check=True)
    tasks, _ = queue.status(project, worked_off[0])
    assert GOOD.name not in tasks
    assert list(queue.finished(project, worked_off[0])) == [GOOD.name]
