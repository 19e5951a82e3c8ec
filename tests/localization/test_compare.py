"""Boxes of the work tree beside those of another run."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.console import print_tables
from cxr14.evaluation.revisions import Folder
from cxr14.io import write_json, write_parquet
from cxr14.localization.compare import (
    BOX_MEASURES,
    compare_boxes,
    compare_with_run,
    difference_of_boxes,
    read_box_scores,
)
from cxr14.localization.heatmaps import write_heatmaps
from cxr14.localization.overlap import with_overlaps
from cxr14.report.terminal import revision_table
from tests.evaluation.comparison.conftest import make_decision, make_records, make_rows
from tests.sources import PHANTOM

SIZE, SIDE = 32, 8  # of the cached image, and of a ground-truth box in its pixels
SHIPPED = 1024 / SIZE  # pixels of the shipped image per pixel of the cached one
FINDINGS = ("Mass", "Nodule")


def write_run(root: Path, hit_every: int, patients: int = 24, corner: float = 0) -> pd.DataFrame:
    """A run of a network whose box and hottest cell are right in one of ``hit_every`` images."""
    images = make_records(patients)["image"].tolist()
    records = make_records(patients).assign(patient=range(patients))
    records[["mass", "nodule"]] = 1
    write_parquet(root / "data/records/images.parquet", records.reset_index(drop=True))
    source = {"source": "phantom", "phantom": True, "official_split": False}
    write_json(root / "data/records/source.json", source)
    index = pd.DataFrame({"row": range(patients), "image": images, "sha256": "a"})
    index = index.assign(source_width=1024, source_height=1024, scale=1 / SHIPPED)
    write_parquet(root / "data/cache/index.parquet", index.assign(offset_x=0.0, offset_y=0.0))
    write_json(root / "metrics/preprocess.json", {"size": SIZE})
    pairs = pd.DataFrame([(i, f) for i in images for f in FINDINGS], columns=["image", "finding"])
    boxes = pairs.assign(x=corner, y=0.0, width=SIDE * SHIPPED, height=SIDE * SHIPPED)
    write_parquet(root / "data/records/boxes.parquet", boxes)
    hit = np.arange(len(pairs)) // len(FINDINGS) % hit_every == 0
    place = np.where(hit, 0.0, 600.0)
    detected = boxes.assign(x=place, y=place, heat_threshold=60, score=255.0, scaling="per_map")
    write_parquet(root / "localization/b/detections.parquet", with_overlaps(detected, boxes))
    grids = np.zeros((len(pairs), 4, 4), np.float16)
    grids[np.arange(len(pairs)), np.where(hit, 0, 3), 0] = 1
    write_heatmaps(root / "localization/b/heatmaps.npz", pairs, grids)
    write_parquet(root / "predictions/b.parquet", make_rows(records, 1, hit_every))
    write_json(root / "evaluation/b/decision.json", make_decision())
    return pairs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs: the work tree hits one box of two, ``other`` one of four."""
    monkeypatch.chdir(tmp_path)
    write_run(Path(), 2)
    write_run(Path("other"), 4)
    return tmp_path


def test_a_pair_is_scored_by_its_boxes_and_its_hottest_pixel(runs):
    scores = read_box_scores(Folder("other"), "b")
    right = np.arange(48) // 2 % 4 == 0
    np.testing.assert_array_equal(scores.values, np.stack([right, right], axis=1))
    assert scores.heat_thresholds == (60,)


def test_the_change_of_hits_and_pointing_has_a_paired_interval(runs):
    rows, note = compare_boxes(Folder("other"), "b", n_replicates=200)
    assert [row["measure"] for row in rows] == list(BOX_MEASURES)
    for row in rows:
        assert (row["here"], row["there"], row["difference"]) == (0.5, 0.25, 0.25)
        assert 0 < row["low"] < 0.25 < row["high"] < 0.5
        assert (row["images"], row["patients"], row["findings"]) == (24, 24, 2)
    assert note == (
        "boxes of 48 pairs compared; not compared 0 only here, 0 only there, "
        "0 with other boxes or another patient"
    )


def test_pairs_with_other_ground_truth_boxes_are_not_compared(runs):
    write_run(Path("other"), 4, corner=5)
    rows, note = compare_boxes(Folder("other"), "b")
    assert rows == []
    assert note.startswith("no boxes compared: boxes of 0 pairs")
    assert note.endswith("48 with other boxes or another patient")


def test_a_run_without_boxes_is_named(runs):
    Path("other/localization/b/heatmaps.npz").unlink()
    rows, note = compare_boxes(Folder("other"), "b")
    assert (rows, note) == ([], "no boxes compared, as other has no localization/b")


def test_other_heat_thresholds_are_noted(runs):
    path = Path("other/localization/b/detections.parquet")
    detected = pd.read_parquet(path).assign(heat_threshold=180)
    path.unlink()
    detected.to_parquet(path)
    assert compare_boxes(Folder("other"), "b")[1].endswith(
        "heat thresholds (60,) here, (180,) there"
    )


def test_a_finding_of_nine_patients_leaves_the_mean_without_an_interval():
    pairs = pd.DataFrame({"image": range(29), "patient": range(29)})
    pairs["finding"] = ["Mass"] * 20 + ["Nodule"] * 9
    values = np.random.default_rng(0).random((2, 29, 2))
    row, _ = difference_of_boxes(pairs, *values, n_replicates=50)
    means = [side[:20, 0].mean() / 2 + side[20:, 0].mean() / 2 for side in values]
    assert row["difference"] == pytest.approx(means[0] - means[1])
    assert row["low"] is None
    assert row["reason"] == "no interval: too few patients of Nodule"


def test_predictions_and_boxes_of_a_folder_are_compared_in_one_table(runs):
    index = pd.read_parquet("other/data/cache/index.parquet")
    index.loc[:2, "sha256"] = "b"
    Path("other/data/cache/index.parquet").unlink()
    index.to_parquet("other/data/cache/index.parquet")
    table, notes = compare_with_run("other", ["b", "c"], n_replicates=30)
    expected = ["macro_auroc", "macro_average_precision", "macro_f1", *BOX_MEASURES]
    assert table["measure"].tolist() == expected
    assert set(table["backbone"]) == {"b"}
    assert (table["difference"] == table["here"] - table["there"]).all()
    assert notes[0].endswith("; 3 of them have other pixels there")
    assert notes[1] == "other has no c"
    assert notes[2].startswith("b: boxes of 48 pairs compared")


def test_the_printed_table_holds_scores_boxes_and_what_is_not_compared(runs, capsys):
    table, notes = compare_with_run("other", ["b"], n_replicates=30)
    print_tables(revision_table(table, "other", notes, PHANTOM))
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r"b boxes > \.1 \.500 \.250 \+\.250 \(\+\.\d+ to \+\.\d+\) \*", text)
    assert re.search(r"b pointing \.500 \.250 \+\.250", text)
    assert "boxes of 48 pairs compared" in text
