"""The second pipeline at a tiny scale, in a clone of its own, by the command that people use."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr14.io import read_json
from tests.clones import clone_into, commit, run, shrink_params

pytestmark = pytest.mark.graph

LABELS, NEW = "chexnext/data/labels.parquet", "chexnext/data/relabelled/labels.parquet"


def edit(path: Path, **blocks: dict) -> None:
    """Change keys of blocks of a params file."""
    content = yaml.safe_load(path.read_text())
    for name, changes in blocks.items():
        content[name] |= changes
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """150 phantoms, two members of two folds, one student of one epoch; run once."""
    folder = tmp_path_factory.mktemp("chexnext") / "clone"
    clone_into(folder)
    shrink_params(folder / "params.yaml", ["alexnet"])
    networks = {"members": {"seeds": [0, 1], "folds": 2}, "students": {"seeds": [0]}}
    recipe = {"input_size": 64, "epochs": 1, "batch_size": 8, "overrides": {}}
    edit(folder / "chexnext/params.yaml", train=recipe, relabel={"mode": "replace"}, **networks)
    commit(folder, "Small params")
    run(folder, "dvc", "repro", "chexnext/dvc.yaml")
    commit(folder, "results")
    yield folder
    shutil.rmtree(folder)


def stale(folder: Path) -> set[str]:
    """The stages of the second pipeline that `dvc repro` would run."""
    told = json.loads(run(folder, "dvc", "status", "--json", "chexnext/dvc.yaml"))
    return {name.removeprefix("chexnext/dvc.yaml:") for name in told}


def test_labels_change_in_train_and_val_and_test_stays_the_truth(clone: Path) -> None:
    true = pd.read_parquet(clone / "data/records/images.parquet")
    noisy, new = (pd.read_parquet(clone / name) for name in (LABELS, NEW))
    students = pd.read_parquet(clone / "chexnext/data/relabelled/students.parquet")
    part = pd.read_parquet(clone / "data/split/split.parquet")["split"]
    seen = true["has_pixels"] & part.isin(["train", "val"])
    assert not noisy[seen].equals(true[seen])
    assert not new[seen].equals(noisy[seen])
    for table in (noisy, new, students):
        pd.testing.assert_frame_equal(table[~seen], true[~seen])
    train = part == "train"
    pd.testing.assert_frame_equal(students[train], new[train])
    pd.testing.assert_frame_equal(students[~train], noisy[~train])


def test_members_and_students_have_files_and_checkpoints_of_their_own(clone: Path) -> None:
    cached = len(np.load(clone / "data/cache/images.npy", mmap_mode="r"))
    for name in ("members/alexnet-0", "members/alexnet-1", "students/alexnet-0"):
        assert (clone / "chexnext/models" / name / "weights.safetensors").exists()
        assert np.load(clone / f"chexnext/logits/{name}.npy").shape == (cached, 15)
        assert len(pd.read_csv(clone / f"chexnext/plots/train/{name}.csv")) == 1
    identities = {
        read_json(path)["run_identity"]
        for path in (clone / "chexnext/models").glob("*/*/model.json")
    }
    assert len(identities) == 3
    assert not (clone / "models").exists()


def test_the_ensemble_is_one_row_beside_the_single_networks(clone: Path) -> None:
    summary = read_json(clone / "chexnext/metrics/summary.json")
    singles = {"member-alexnet-0", "member-alexnet-1", "student-alexnet-0"}
    assert {*singles, "members", "chexnext", "baseline"} < set(summary)
    assert summary["phantom"] == 1
    assert summary["chexnext"]["boxes_boxed_images"] > 0
    # An ensemble of one network is that network.
    assert summary["chexnext"] == summary["student-alexnet-0"]
    (registered,) = read_json(clone / "chexnext/registry/registered.json")
    assert registered["weights_sha256"]


def test_the_report_of_the_flips_says_how_much_was_repaired(clone: Path) -> None:
    numbers = read_json(clone / "chexnext/metrics/relabel.json")
    assert numbers["added"] + numbers["removed"] > 0
    assert numbers["noise_repaired"] is not None
    flips = pd.read_csv(clone / "chexnext/metrics/relabel/label_changes.csv")
    assert len(flips) == 2 * 15
    assert (clone / "chexnext/plots/relabel.png").stat().st_size > 10_000


def test_one_more_seed_trains_one_network(clone: Path) -> None:
    assert stale(clone) == set()
    params = clone / "chexnext/params.yaml"
    before = params.read_text()
    edit(params, students={"seeds": [0, 1]})
    after = {"evaluate", "localize", "sheets", "report", "register"}
    assert stale(clone) == {"student@alexnet-1", "predict-student@alexnet-1", *after}
    params.write_text(before)
    edit(params, members={"seeds": [0, 1, 2]})
    new = {"member@alexnet-2", "predict-member@alexnet-2", "select", "relabel"}
    assert stale(clone) == {*new, "evaluate", "report"}
    params.write_text(before)


def test_another_mode_relabels_and_trains_no_member(clone: Path) -> None:
    params = clone / "chexnext/params.yaml"
    before = params.read_text()
    edit(params, relabel={"mode": "union"})
    assert stale(clone) == {"relabel"}
    params.write_text(before)


def test_a_label_of_test_that_changed_stops_the_run(clone: Path) -> None:
    """The members' answers reach a test image because the split was changed after training."""
    path = clone / "chexnext/data/folds/0.parquet"
    before, split = path.read_bytes(), pd.read_parquet(path)
    path.unlink()  # a link into DVC's cache
    split.assign(split="train").to_parquet(path, index=False)
    with pytest.raises(AssertionError, match="member-alexnet-0 was not trained by"):
        run(clone, "python", "-m", "stages.chexnext.relabel")
    path.write_bytes(before)
