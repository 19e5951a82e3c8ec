"""The work tree beside a stored earlier run, in a small repository of git and DVC."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from cxr14.evaluation.revisions import Revision, Run, compare_predictions, shared_images
from tests.evaluation.comparison.conftest import make_decision, make_records, make_rows

DATA = ["predictions/good.parquet", "evaluation/good", "data/records"]


def do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stored(project: Path) -> Path:
    """The project with its first run committed and tagged ``first``; only ``good`` is in it."""
    do("git", "init", "-q")
    do("git", "config", "user.email", "a@example.org")
    do("git", "config", "user.name", "A")
    do("dvc", "init", "-q")
    do("dvc", "add", "-q", *DATA)
    do("git", "add", "-A")
    do("git", "reset", "-q", "predictions/poor.parquet", "evaluation/poor")
    do("git", "commit", "-qm", "first")
    do("git", "tag", "first")
    return project


def replace(path: str, table: pd.DataFrame) -> None:
    """As the project's own writers do: DVC's cache may hold the same file."""
    Path(path).unlink()
    table.to_parquet(path, index=False)


def test_differences_are_over_shared_images_and_nothing_is_touched(stored):
    records = pd.read_parquet("data/records/images.parquet")
    before = do("git", "status", "--short")
    worse = make_rows(records.set_index("image", drop=False), 0.5, 7)
    replace("predictions/good.parquet", worse.iloc[2:])  # two images are only there
    changed = records.copy()
    changed.loc[5, "Mass"] = 1 - changed.loc[5, "Mass"]  # one has another label
    replace("data/records/images.parquet", changed)
    table, notes = compare_predictions(Revision("first"), ["good", "poor"], n_replicates=30)
    assert list(table["backbone"]) == ["good"] * 3
    assert list(table["measure"]) == ["macro_auroc", "macro_average_precision", "macro_f1"]
    assert (table["difference"] == table["here"] - table["there"]).all()
    assert (table["high"] < 0).all()
    assert set(table["images"]) == {len(records) - 3}
    assert notes == [
        f"good: {len(records) - 3} test images compared; not compared 0 only here, 2 only there, "
        "1 with other labels or another patient",
        "first has no poor",
    ]
    assert do("git", "status", "--short") == before


def test_what_cannot_be_compared_is_told_in_one_sentence(stored):
    with pytest.raises(ValueError, match=r"git has no revision 'nope'; .*git log"):
        Revision("nope")
    with pytest.raises(ValueError, match=r"^first has no predictions of poor$"):
        compare_predictions(Revision("first"), ["poor"])
    Path("data/records/source.json").unlink()
    Path("data/records/source.json").write_text(
        json.dumps({"source": "nih", "phantom": False, "official_split": False})
    )
    with pytest.raises(ValueError, match="one of first and the work tree is of phantoms"):
        compare_predictions(Revision("first"), ["good"])
    Path("data/records/source.json").write_text(
        json.dumps({"source": "phantom", "phantom": True, "official_split": False})
    )
    shutil.rmtree(".dvc/cache")
    with pytest.raises(FileNotFoundError, match=r"of first is not in DVC's cache; .*dvc fetch"):
        compare_predictions(Revision("first"), ["good"])


def test_runs_without_a_shared_image_are_refused_with_the_counts():
    one, other = make_records(4), make_records(6)
    other.index = other["image"] = [f"other{n}.png" for n in range(6)]
    runs = [Run(make_rows(own, 1, 1), make_decision(), own) for own in (one, other)]
    with pytest.raises(
        ValueError, match=r"share no test image .*4 only here, 6 only there, 0 with"
    ):
        shared_images(*runs)


def test_an_image_of_another_patient_is_not_shared(records):
    moved = records.copy()
    moved.loc[moved.index[3], "patient"] += 1
    runs = [Run(make_rows(records, 1, 1), make_decision(), own) for own in (records, moved)]
    images, note = shared_images(*runs)
    assert records.index[3] not in images
    assert len(images) == len(records) - 1
    assert note.endswith("1 with other labels or another patient")
