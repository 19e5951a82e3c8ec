"""The stage as a whole, on two small networks."""

import re
import shutil
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import stages.compare
from cxr14.datasets.records import read_source
from cxr14.errors import UserError
from cxr14.evaluation.measures import read_test_predictions
from cxr14.figures.subgroups import write_picture
from stages.compare import main
from tests.evaluation.comparison.conftest import make_records, make_rows

TABLES = ("differences", "subgroups", "gaps", "adjudicated")
CURVES = ("roc", "pr", "reliability", "threshold_f1")


def compare_and_draw() -> None:
    main()
    table = pd.read_csv("metrics/compare/subgroups.csv")
    write_picture("plots/compare/subgroups.png", table, read_source())


def test_all_tables_and_pictures_are_written_and_twice_the_same(project, monkeypatch):
    fewer = partial(stages.compare.draw_replicates, n_replicates=60)
    monkeypatch.setattr(stages.compare, "draw_replicates", fewer)
    compare_and_draw()
    files = [f"metrics/compare/{name}.csv" for name in TABLES]
    files += [f"plots/compare/{name}.csv" for name in CURVES] + ["plots/compare/subgroups.png"]
    first = {name: (project / name).read_bytes() for name in files}
    compare_and_draw()
    assert {name: (project / name).read_bytes() for name in files} == first
    for name in (*files[:4], *files[4:8]):
        assert set(pd.read_csv(name)["phantom"]) == {1}


def test_networks_that_answered_other_images_are_refused(project):
    make_rows(make_records(20), 1, 1).to_parquet("predictions/poor.parquet")
    with pytest.raises(ValueError, match=r"poor\.parquet holds other test images .* of good"):
        read_test_predictions(["good", "poor"])


def test_a_network_that_was_not_evaluated_is_named_with_the_remedy(project):
    Path("evaluation/poor/decision.json").unlink()
    with pytest.raises(
        UserError, match=r"^evaluation/poor/decision\.json is missing; .*evaluate@poor"
    ):
        read_test_predictions(["good", "poor"])


def test_a_folder_with_another_run_is_compared_and_nothing_is_written(project, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")  # for the long name of the folder
    other = Path(shutil.copytree(project, project.parent / f"{project.name}_other"))
    make_rows(make_records(), 0.2, 9).to_parquet(other / "predictions/good.parquet")
    before = sorted(project.rglob("*"))
    main(against=str(other))
    assert sorted(project.rglob("*")) == before
    text = " ".join(capsys.readouterr().out.split())
    assert "good, poor: 240 test images compared; not compared 0 only here" in text
    assert "good: no boxes compared, as the work tree and" in text
    assert re.search(r"good F1 \.\d+ \.\d+ \+\.\d+ \(\+", text)
