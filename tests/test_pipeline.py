"""The whole graph at a tiny scale, in a clone of its own, by the commands that people use."""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cxr14.io import read_json
from cxr14.labels import CLASSES
from tests.clones import clone_into, commit, environment, paste, run, shrink_params
from tests.experiments_page import OWN_IMAGES, python_snippet, ways_of_use
from tests.external_sets import CITY, TOWN, write_csv_form, write_nih_form
from tests.notebook import execute
from tests.s3 import BUCKET, CREDENTIALS, s3_server
from tests.tracking.servers import free_port, patiently, running

pytestmark = pytest.mark.graph

BACKBONES = ["alexnet", "googlenet"]
QUEUE_SECONDS = 300

MACHINE = {"register"}
"""Stages whose outs are of this machine: what it wrote is of the last run."""

WAYS = ways_of_use()
RAN = {OWN_IMAGES}  # by tests/test_own_images.py


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh clone, in a path that is hard on shells, in which `make repro` has run."""
    folder = tmp_path_factory.mktemp("clone") / "My Drive (1)"
    clone_into(folder)
    shrink_params(folder / "params.yaml", BACKBONES)
    commit(folder, "Small params")
    paste(folder, "make repro")
    yield folder
    shutil.rmtree(folder.parent)


CHECK = "check-params"
"""Runs after every change of params, and makes nothing else stale."""


def stale(folder: Path) -> set[str]:
    """The stages that `dvc repro` would run, those after them not counted."""
    return set(json.loads(run(folder, "dvc", "status", "--json", "dvc.yaml")))


def pasted(folder: Path, title: str) -> Iterator[tuple[str, str]]:
    """Run the commands of one way of use in order; yield each with its output."""
    RAN.add(title)
    for line in WAYS[title]:
        yield line, paste(folder, line)


def experiments(folder: Path) -> list[str]:
    """The names of the experiments that DVC keeps."""
    return run(folder, "dvc", "exp", "list", "--all-commits", "--name-only").split()


def history(folder: Path, backbone: str) -> int:
    """The epochs of the training that the work tree holds."""
    return len(pd.read_csv(folder / "plots" / "train" / f"{backbone}.csv"))


def mlflow_runs(folder: Path, names: str = "[run.info.run_name]") -> list[str]:
    """The names of all runs in the store of a clone, or others that an expression gives of each."""
    code = (
        "import mlflow, cxr14.tracking.store as s; c, e = s.connect();"
        f"print(*(n for run in c.search_runs([e], max_results=999) for n in {names}))"
    )
    return run(folder, "python", "-c", code).split()


def wait_for_queue(folder: Path) -> None:
    """Wait until no task of the queue is left to run."""
    deadline = time.monotonic() + QUEUE_SECONDS
    while re.search("Queued|Running", run(folder, "dvc", "queue", "status")):
        assert time.monotonic() < deadline, "the queue does not end"
        time.sleep(2)


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
    outside_scripts = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    # Not "http", which a picture's base64 may happen to hold; that has no colon.
    assert "://" not in outside_scripts


@pytest.mark.parametrize("backbone", BACKBONES)
def test_predictions_on_the_archive_equal_those_of_evaluate(clone: Path, backbone: str) -> None:
    archives = map(str, sorted((clone / "data/raw/archives").glob("*.tar")))
    words = ("predict", *archives, "--model", f"models/{backbone}", "--force", "--csv")
    output = run(clone, "env", "PYTHONPATH=src", "python", "-m", "cxr14.cli", *words)
    table = pd.read_csv(StringIO(output))
    table["image"] = table["image"].map(lambda name: Path(name).name)
    found = table.pivot_table(index="image", columns="finding", values="uncalibrated")
    expected = pd.read_parquet(clone / f"predictions/{backbone}.parquet").set_index("image")
    columns = [f"probability {name}" for name in found.columns]
    assert len(expected)
    difference = found.loc[expected.index].to_numpy() - expected[columns].to_numpy()
    assert abs(difference).max() < 1e-6


def test_a_second_repro_has_nothing_to_do(clone: Path) -> None:
    assert "up to date" in run(clone, "dvc", "repro")
    assert stale(clone) == set()


@pytest.fixture(scope="module")
def pushed(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the clone whose results are committed, tagged and pushed to an S3 server."""
    first = tmp_path_factory.mktemp("pushed") / "first"
    shutil.copytree(clone, first, symlinks=True)
    with pytest.MonkeyPatch.context() as patch, s3_server() as url:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("DVC_NO_ANALYTICS", "true")
        run(first, "dvc", "remote", "add", "--default", "storage", f"s3://{BUCKET}/dvc")
        run(first, "dvc", "remote", "modify", "storage", "endpointurl", url)
        commit(first, "Results")
        run(first, "gto", "register", "alexnet", "--version", "v1.0.0")
        run(first, "dvc", "push", "dvc.yaml")
        shutil.rmtree(first / ".dvc" / "cache")  # so that all comes from the server
        yield first
    shutil.rmtree(first.parent)


def test_a_second_clone_pulls_page_and_models_and_computes_nothing(pushed: Path) -> None:
    second = pushed.parent / "second"
    run(pushed, "git", "clone", "--quiet", str(pushed), str(second))
    run(second, "dvc", "pull", "report")
    page = second / "report" / "index.html"
    assert page.read_bytes() == (pushed / "report" / "index.html").read_bytes()
    assert not (second / "models").exists()
    run(second, "dvc", "pull", "dvc.yaml")  # the second pipeline has not run
    weights = Path("models", "alexnet", "weights.safetensors")
    assert (second / weights).read_bytes() == (pushed / weights).read_bytes()
    ran = re.findall(r"Running stage '([\w@-]+)'", run(second, "dvc", "repro"))
    assert ran == ["check-outputs", "register"]  # both are of this machine
    assert run(second, "git", "status", "--porcelain") == ""


def test_a_registered_model_is_downloaded_by_its_name(pushed: Path, tmp_path: Path) -> None:
    run(tmp_path, "dvc", "artifacts", "get", pushed.as_uri(), "alexnet", "--rev", "v1.0.0")
    weights = "weights.safetensors"
    expected = (pushed / "models" / "alexnet" / weights).read_bytes()
    assert (tmp_path / "alexnet" / weights).read_bytes() == expected


def test_the_tour_runs_on_the_results(clone: Path) -> None:
    shown = execute(clone / "notebooks" / "tour.ipynb")
    (difference,) = (float(text) for text in shown if re.fullmatch(r"[\d.e-]+", text))
    assert difference < 1e-6  # from predictions/alexnet.parquet


def test_another_loss_makes_training_stale_and_nothing_before_it(clone: Path) -> None:
    params = clone / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("weighting: batch", "weighting: none"))
    assert stale(clone) == {CHECK, "report", *(f"train@{name}" for name in BACKBONES)}
    params.write_text(before.replace("googlenet: {}", "googlenet: {epochs: 3}"))
    assert stale(clone) == {CHECK, "report", "train@googlenet"}
    params.write_text(before.replace("findings: all", "findings: [Mass, Nodule]"))
    assert stale(clone) == {CHECK, "report", *(f"train@{name}" for name in BACKBONES)}
    params.write_text(before)


@pytest.mark.parametrize(
    ("file", "drawing"),
    [
        ("report/page.py", {"report"}),
        ("figures/style.py", {"report"}),
        ("figures/overlays.py", {"sheets", "report"}),
    ],
)
def test_an_edit_of_what_presents_computes_nothing(
    clone: Path, file: str, drawing: set[str]
) -> None:
    code = clone / "src" / "cxr14" / file
    before = code.read_text()
    code.write_text(before + "\n")
    assert stale(clone) == drawing
    code.write_text(before)


def test_an_edit_of_a_saliency_method_never_retrains(clone: Path) -> None:
    methods = clone / "src" / "cxr14" / "localization" / "cam.py"
    before = methods.read_text()
    methods.write_text(before + "\n")
    assert stale(clone) == {f"localize-iobb@{name}" for name in BACKBONES}
    methods.write_text(before)


def sets_in_report(clone: Path) -> list[str]:
    """The external sets that have a section of the page and a table of the summary."""
    page = (clone / "report/index.html").read_text()
    summary = (clone / "report/summary.txt").read_text()
    sets = [name for name in ("city", "town") if f'id="external-{name}"' in page]
    assert sets == [name for name in ("city", "town") if name in summary]
    return sets


def test_external_sets_end_in_report_and_registry_and_can_be_removed(clone: Path) -> None:
    """Two sets outside of the clone; then one of them; then none, as before."""
    write_csv_form(clone.parent / "city", 36)
    write_nih_form(clone.parent / "town", 501, 40)
    city = {key: value.replace("city", "../city", 1) for key, value in CITY.items()}
    town = TOWN | {"folder": "../town"}
    params = clone / "params.yaml"
    before = params.read_text()
    for sets in ({"city": city, "town": town}, {"city": city}):
        changed = yaml.safe_load(before) | {"external": sets}
        params.write_text(yaml.safe_dump(changed, sort_keys=False))
        output = run(clone, "dvc", "repro")
        assert "Running stage 'train" not in output
        assert sets_in_report(clone) == [*sets]
        assert "up to date" in run(clone, "dvc", "repro")
    assert "Running stage 'external" not in output
    for backbone in BACKBONES:
        scores = read_json(clone / f"metrics/external/city/{backbone}.json", "images")
        assert scores["images"] == 36
    metrics = mlflow_runs(clone, "run.data.metrics")
    assert metrics.count("external/city/macro_auroc") == len(BACKBONES)
    params.write_text(before)
    for name in ("city", "town"):
        shutil.rmtree(clone / "metrics/external" / name)
    run(clone, "dvc", "repro")
    assert sets_in_report(clone) == []
    assert stale(clone) == set()


def test_another_value_is_an_experiment_that_is_kept(clone: Path) -> None:
    outputs = dict(pasted(clone, "1. Try another value"))
    unweighted, shown, longer, _, different, back = WAYS["1. Try another value"]
    assert "loss.weighting=none" in unweighted
    assert "alexnet.test_macro_auroc" in outputs[shown]
    assert set(experiments(clone)) == {"unweighted", "alexnet-longer"}
    assert "train@googlenet' didn't change" in outputs[longer]
    assert "train/alexnet.json" in outputs[different]
    assert "is cached - skipping run" in outputs[back]
    assert history(clone, "alexnet") == 2
    assert stale(clone) <= MACHINE


def test_branches_are_compared_by_params_metrics_and_plots_without_a_network(clone: Path) -> None:
    """The other branch's results come from the experiment of the same params (the run cache)."""
    commit(clone, "Results")  # those of main, which the comparison reads from DVC's cache
    outputs = dict(pasted(clone, "2. Compare branches"))
    _, repro, _, params, metrics, against, _ = WAYS["2. Compare branches"]
    assert "Running stage 'train" not in outputs[repro]
    assert outputs[params].split() == [
        *("Path", "Param", "main", "unweighted"),
        *("params.yaml", "loss.weighting", "batch", "none"),
    ]
    assert "alexnet.test_macro_auroc" in outputs[metrics]
    assert not re.search(r"_(low|high)\b", outputs[metrics])
    assert "boxes > .1" in outputs[against]
    page = (clone / "dvc_plots" / "index.html").read_text()
    assert "finding (click to pick)" in page
    assert "validation_macro_auroc" in page
    assert 'src="http' not in page


def test_temporary_workspaces_and_the_queue_share_one_store_and_leave_git_clean(
    clone: Path,
) -> None:
    before = len(mlflow_runs(clone))
    title = "3. Fewer backbones, a clean work tree, a queue"
    for line, output in pasted(clone, title):
        if line == "dvc queue start -j 2":
            wait_for_queue(clone)
        elif line == "dvc queue status":
            assert output.count("Success") == 2
    assert run(clone, "git", "status", "--porcelain") == ""
    assert set(experiments(clone)) >= {"alexnet-alone", "seed-1", "seed-2"}
    # A run of each training, and one of the experiment that it lies below.
    assert len(mlflow_runs(clone)) == before + 6


def test_the_ui_opens_and_the_registered_champion_predicts(clone: Path) -> None:
    title = "4. Look at runs and models"
    (line,) = WAYS[title]
    RAN.add(title)
    port = free_port()
    command = ["make", "--old-file=.venv/stamp", line.removeprefix("make "), f"ARGS=--port {port}"]
    log = clone.parent / "ui.log"

    def status() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
            return int(page.status)

    with running(command, log, cwd=clone, env=environment()) as process:
        assert patiently(process, status, log) == 200
    images = "import numpy as np; images = np.load('data/cache/images.npy')[:3]\n"
    code = images + python_snippet(title).replace(
        "model.predict(images)", "table = model.predict(images)"
    )
    code += "\nprint(len(table), *[name for name in table if name in ('Mass', 'Hernia')])"
    assert run(clone, "python", "-c", code).split()[-3:] == ["3", "Mass", "Hernia"]


def test_all_ways_of_use_have_run() -> None:
    assert set(WAYS) == RAN
