"""The second pipeline's summary: which rows have boxes, and which files have to be there."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.datasets.records import write_source
from cxr14.errors import UserError
from cxr14.figures.label_changes import CHANGES
from cxr14.io import read_json, write_csv, write_json, write_npy, write_parquet
from cxr14.report.summary import EVALUATE_METRICS, LOCALIZE_METRICS
from stages.chexnext import report
from tests.chexnext.tables import PHANTOM

PARAMS = Path(__file__).resolve().parents[2] / "chexnext/params.yaml"
STUDENTS = ("student-alexnet-0", "student-alexnet-1", "student-alexnet-2")
MEMBERS = tuple(f"member-alexnet-{seed}" for seed in range(4))
STUDENT_BOXES = f"chexnext/singles/metrics/localize/{STUDENTS[1]}.json"


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics of the default networks; a member is the best on validation."""
    monkeypatch.chdir(tmp_path)
    Path("chexnext").mkdir()
    shutil.copy(PARAMS, "chexnext")
    write_source(PHANTOM)
    numbers = dict.fromkeys(EVALUATE_METRICS, 0.7) | {"images": 236, "patients": 142}
    write_json("metrics/baseline.json", {"test": numbers})
    for name in ("members", "chexnext", *MEMBERS, *STUDENTS):
        root = "chexnext" if name in ("members", "chexnext") else "chexnext/singles"
        own = numbers | {"validation_macro_auroc": 0.8 if name == MEMBERS[1] else 0.7}
        write_json(f"{root}/metrics/evaluate/{name}.json", own)
    write_csv("chexnext/plots/relabel.csv", pd.DataFrame(columns=[*CHANGES]))
    write_npy("data/cache/images.npy", np.zeros((1, 8, 8), np.uint8))
    write_parquet("data/cache/index.parquet", pd.DataFrame({"row": [0], "image": ["a.png"]}))
    for name in ("chexnext", *STUDENTS):
        root = "chexnext" if name == "chexnext" else "chexnext/singles"
        own = dict.fromkeys(LOCALIZE_METRICS, 0.4) | {"boxed_images": 73}
        write_json(f"{root}/metrics/localize/{name}.json", own)
        ends = {"metric": ["mean_pointing"], "low": [0.3], "high": [0.5]}
        write_csv(f"{root}/metrics/localize/{name}/headline.csv", pd.DataFrame(ends))


def test_what_is_not_localised_has_no_boxed_images_either(
    scored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Members bore 73 boxed images beside empty accuracies, so that the caption found a number."""
    report.main()
    summary = read_json("chexnext/metrics/summary.json")
    for name in ("members", *MEMBERS):
        own = {key: value for key, value in summary[name].items() if key.startswith("boxes_")}
        assert len(own) == len(LOCALIZE_METRICS)
        assert set(own.values()) == {None}
    assert summary["student-alexnet-0"]["boxes_boxed_images"] == 73
    assert "73 boxed images" in " ".join(capsys.readouterr().out.split())


def test_a_student_without_its_boxes_is_no_student_that_is_not_localised(scored: None) -> None:
    """A missing file was shown as a row of dashes."""
    Path(STUDENT_BOXES).unlink()
    with pytest.raises(UserError, match=STUDENTS[1]):
        report.main()
