"""The naive baseline: the most frequent class."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from cxr14.datasets.image_table import read_images, read_list_table
from cxr14.datasets.split import official_split
from cxr14.evaluation.baseline import (
    TEN_CLASSES,
    figure8,
    multi_label_floor,
    ten_classes,
)
from cxr14.io import packaged_file
from cxr14.labels import CLASSES, FINDINGS, LABEL_COLUMNS, label_matrix
from stages import baseline

Labels = npt.NDArray[np.float32]

FIGURE_8 = {  # supports, from the study
    "Atelectasis": 3414,
    "Cardiomegaly": 777,
    "Effusion": 2788,
    "Infiltration": 7327,
    "Mass": 1696,
    "Nodule": 2248,
    "Pneumonia": 234,
    "Pneumothorax": 1241,
    "No Finding": 50500,
    "others": 16299,
}


def labels(*texts: str) -> Labels:
    return np.array([[name in text.split("|") for name in CLASSES] for text in texts], np.float32)


def some_labels(rows: st.SearchStrategy[int]) -> st.SearchStrategy[Labels]:
    """Any (N, 15) labels as the table has them: some findings, or else No Finding."""

    def with_no_finding(findings: Labels) -> Labels:
        return np.hstack([findings, ~findings.any(axis=1, keepdims=True)]).astype(np.float32)

    shapes = rows.map(lambda n: (n, len(FINDINGS)))
    return shapes.flatmap(lambda shape: arrays(np.bool_, shape)).map(with_no_finding)


def test_only_a_single_label_of_the_eight_counts_as_that_finding() -> None:
    texts = ["Mass", "No Finding", "Hernia", "Mass|Nodule", "Mass|Hernia", "Pneumothorax"]
    assert ten_classes(labels(*texts)).tolist() == [
        "Mass",
        "No Finding",
        "others",
        "others",
        "others",
        "Pneumothorax",
    ]


def test_scores_of_the_most_frequent_class_by_hand() -> None:
    """Three of four right: P 3/4, R 1, F1 6/7 for No Finding, nothing for the other nine."""
    table, averages = figure8(labels("No Finding", "Mass", "No Finding", "No Finding"))
    row = table.set_index("class").loc["No Finding"]
    assert row.tolist() == pytest.approx([3 / 4, 1, 6 / 7, 3])
    assert table[["precision", "recall", "f1"]].to_numpy().sum() == pytest.approx(3 / 4 + 1 + 6 / 7)
    assert averages["accuracy"] == 3 / 4
    assert averages["macro"]["f1"] == pytest.approx(6 / 70)
    assert averages["weighted"]["precision"] == pytest.approx(9 / 16)


@settings(max_examples=25, deadline=None)
@given(truth=some_labels(st.integers(1, 12)))
def test_accuracy_is_the_share_of_the_largest_class(truth: Labels) -> None:
    table, averages = figure8(truth)
    assert tuple(table["class"]) == TEN_CLASSES
    assert table["support"].sum() == len(truth)
    assert averages["accuracy"] == pytest.approx(table["support"].max() / len(truth))
    assert averages["macro"]["recall"] == pytest.approx(0.1)  # of one class in ten, all


def test_with_the_official_lists_the_baseline_is_the_study_s_figure_8(nih: Path) -> None:
    table = "torchxrayvision/data/Data_Entry_2017_v2020.csv.gz"
    images = read_images(packaged_file("torchxrayvision", table))
    lists = [
        read_list_table(nih / name).frame.image.tolist()
        for name in ("train_val_list.txt", "test_list.txt")
    ]
    train_val = images[official_split(images, *lists) == "train_val"]
    scores, averages = figure8(label_matrix(train_val))
    assert dict(zip(scores["class"], scores["support"], strict=True)) == FIGURE_8
    assert averages["supports"] == FIGURE_8
    assert round(averages["accuracy"], 4) == 0.5837
    for kind, published in (
        ("macro", (0.0584, 0.1, 0.0737)),
        ("weighted", (0.3407, 0.5837, 0.4302)),
    ):
        assert tuple(round(score, 4) for score in averages[kind].values()) == published


def test_a_constant_score_ranks_nothing() -> None:
    """One Mass in four test images: AUROC 1/2, average precision 1/4, F1 of always yes 2/5."""
    train = labels("Mass", "No Finding", "No Finding")
    floor = multi_label_floor(train, labels("Mass", "No Finding", "No Finding", "No Finding"))
    assert floor["findings_scored"] == 1
    assert floor["macro_auroc"] == 0.5
    assert floor["macro_average_precision"] == 0.25
    assert floor["macro_f1"] == 0
    assert floor["macro_f1_always_yes"] == pytest.approx(2 / 5)
    assert floor["prevalence"] == {name: 0.25 if name == "Mass" else 0 for name in FINDINGS}


def test_the_majority_is_that_of_train_not_of_test() -> None:
    test = labels("Mass", "No Finding", "No Finding")
    assert multi_label_floor(labels("Mass", "Mass", "No Finding"), test)["macro_f1"] == 0.5
    assert multi_label_floor(labels("Mass", "No Finding"), test)["macro_f1"] == 0


def test_a_test_set_without_both_classes_is_null_with_its_prevalence() -> None:
    floor = multi_label_floor(labels("Mass"), labels("Mass", "Mass"))
    assert (floor["images"], floor["findings_scored"], floor["macro_auroc"]) == (2, 0, None)
    assert floor["prevalence"]["Mass"] == 1
    none = multi_label_floor(labels("Mass"), np.zeros((0, 15), np.float32))
    assert none["macro_f1"] is none["prevalence"]["Mass"] is None


@settings(max_examples=25, deadline=None)
@given(train=some_labels(st.integers(1, 8)), test=some_labels(st.integers(2, 12)))
def test_macro_average_precision_is_the_mean_prevalence_of_what_is_scored(
    train: Labels, test: Labels
) -> None:
    floor = multi_label_floor(train, test)
    scored = [share for share in floor["prevalence"].values() if 0 < share < 1]
    assert floor["findings_scored"] == len(scored)
    if scored:
        assert floor["macro_auroc"] == pytest.approx(0.5)
        assert floor["macro_average_precision"] == pytest.approx(np.mean(scored))


def test_the_terminal_table_names_every_class_and_average() -> None:
    console = Console(width=100)
    with console.capture() as printed:
        console.print(baseline.figure8_table(*figure8(labels("No Finding", "Mass"))))
    text = printed.get()
    assert all(name in text for name in (*TEN_CLASSES, "macro average", "weighted average"))


def test_the_stage_scores_the_test_images_that_have_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["No Finding", "Mass", "No Finding", "Mass", "No Finding", "Mass"]
    images = pd.DataFrame(labels(*texts).astype(np.uint8), columns=list(LABEL_COLUMNS))
    images.insert(0, "image", [f"{n}.png" for n in range(6)])
    images["has_pixels"] = [True] * 5 + [False]
    parts = ["train", "val", "train", "test", "test", "test"]
    split = images[["image"]].assign(patient=range(6), split=parts)
    for name in ("records", "split"):
        (tmp_path / "data" / name).mkdir(parents=True)
    images.to_parquet(tmp_path / "data/records/images.parquet")
    split.to_parquet(tmp_path / "data/split/split.parquet")
    source = {"source": "phantom", "phantom": True, "official_split": False}
    (tmp_path / "data/records/source.json").write_text(json.dumps(source))
    monkeypatch.chdir(tmp_path)
    baseline.main()
    metrics = json.loads((tmp_path / "metrics/baseline.json").read_text())
    assert (metrics["phantom"], metrics["official_split"]) == (1, 0)
    assert metrics["accuracy"] == 0.6667  # on train-val: No Finding, Mass, No Finding
    assert metrics["test"]["images"] == 2  # the third has no pixels
    assert metrics["test"]["prevalence"]["Mass"] == 0.5
    assert pd.read_csv(tmp_path / "plots/baseline/figure8.csv")["support"].sum() == 3
    assert "our own cut by patient" in capsys.readouterr().out
