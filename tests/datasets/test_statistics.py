"""Counts of labels, sexes, ages and views."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.datasets import statistics
from cxr14.datasets.image_table import read_images, read_list_table
from cxr14.datasets.split import official_split
from cxr14.io import packaged_file
from cxr14.labels import CLASSES, LABEL_COLUMNS


def records(rows: list[tuple[str, int, int, str]]) -> pd.DataFrame:
    """One record a row: labels ('Mass|Nodule'), patient, age, sex."""
    frame = pd.DataFrame(
        {
            "image": [f"{n:08d}_000.png" for n in range(len(rows))],
            "patient": [row[1] for row in rows],
            "age": [row[2] for row in rows],
            "sex": [row[3] for row in rows],
            "view": "PA",
        }
    )
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        frame[column] = np.array([name in row[0].split("|") for row in rows], np.uint8)
    return frame


SMALL = records(
    [
        ("Mass|Nodule", 1, 30, "F"),
        ("Mass", 1, 31, "F"),
        ("No Finding", 2, 60, "M"),
        ("Atelectasis", 3, 60, "M"),
    ]
)

RECORDS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(CLASSES[:-1])).map(lambda s: "|".join(sorted(s)) or CLASSES[-1]),
        st.integers(1, 5),
        st.integers(0, 414),
        st.sampled_from("FM"),
    ),
    min_size=1,
    max_size=12,
).map(records)


@pytest.fixture(scope="module")
def official(nih: Path) -> pd.DataFrame:
    table = "torchxrayvision/data/Data_Entry_2017_v2020.csv.gz"
    images = read_images(packaged_file("torchxrayvision", table))
    lists = [
        read_list_table(nih / name).frame.image.tolist()
        for name in ("train_val_list.txt", "test_list.txt")
    ]
    parts = official_split(images, *lists).replace("train_val", "train")
    return statistics.with_split(images, images[["image"]].assign(split=parts))


def test_labels_are_counted_most_frequent_first_and_ties_keep_the_class_order() -> None:
    table = statistics.label_distribution(SMALL)
    assert table["finding"].tolist()[:4] == ["Mass", "Atelectasis", "Nodule", "No Finding"]
    assert table["images"].tolist() == [2, 1, 1, 1] + [0] * 11
    assert table["share"].tolist()[:2] == [0.5, 0.25]


def test_sexes_are_counted_by_image_and_by_patient() -> None:
    rows = statistics.sex_distribution(SMALL).values.tolist()
    assert rows == [["F", 2, 0.5, 1], ["M", 2, 0.5, 2]]


def test_a_missing_age_is_counted_and_left_out_of_the_figures_of_age() -> None:
    images = SMALL.assign(age=SMALL["age"].astype("Int32").mask(SMALL["age"] == 60))
    assert statistics.age_distribution(images)["age"].tolist() == list(range(32))
    ages = statistics.age_by_finding(images).set_index("finding")
    assert ages.loc["Mass"].equals(
        statistics.age_by_finding(SMALL).set_index("finding").loc["Mass"]
    )
    assert ages.dtypes.iloc[1:].astype(str).unique().tolist() == ["float64"]
    assert statistics.fullest_ten_years(images) == 30
    numbers = statistics.key_figures(images.assign(split="train"))["train_val"]
    assert (numbers["age_missing"], numbers["age_oldest"]) == (2, 31)


def test_a_finding_without_images_has_no_shares_and_no_ages() -> None:
    sexes = statistics.sex_by_finding(SMALL).set_index(["finding", "sex"])
    assert sexes.loc[("Mass", "F"), "share"] == 1
    assert sexes.loc[("Mass", "M"), "share"] == 0
    assert np.isnan(sexes.loc[("Hernia", "F"), "share"])
    ages = statistics.age_by_finding(SMALL).set_index("finding")
    assert ages.loc["Mass", "median"] == 30.5
    assert ages.loc["Hernia", "images"] == 0
    assert np.isnan(ages.loc["Hernia", "median"])


def test_every_year_up_to_the_oldest_has_a_row() -> None:
    table = statistics.age_distribution(SMALL)
    assert table["age"].tolist() == list(range(61))
    assert table["images"].loc[[29, 30, 31, 60]].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("ages", "end"), [([51, 60, 61], 60), ([50, 51, 52], 60), ([0], 0), ([1], 10)]
)
def test_a_bin_of_ten_years_is_named_by_its_last_year(ages: list[int], end: int) -> None:
    assert statistics.fullest_ten_years(pd.DataFrame({"age": ages})) == end


@settings(max_examples=20, deadline=None)
@given(images=RECORDS)
def test_the_tables_agree_with_each_other(images: pd.DataFrame) -> None:
    labels = statistics.label_distribution(images).set_index("finding")["images"]
    by_sex = statistics.sex_by_finding(images).groupby("finding")["images"].sum()
    by_age = statistics.age_by_finding(images).set_index("finding")["images"]
    assert labels.sum() == statistics.label_counts(images).sum()
    assert labels.to_dict() == by_sex.to_dict() == by_age.to_dict()
    assert statistics.age_distribution(images)["images"].sum() == len(images)
    assert statistics.sex_distribution(images)["share"].sum() == pytest.approx(1)


def test_train_val_leaves_test_unseen() -> None:
    split = SMALL[["image"]].assign(split=["train", "val", "test", "train"])
    joined = statistics.with_split(SMALL, split.iloc[::-1])
    assert statistics.train_val(joined)["image"].tolist() == SMALL["image"].iloc[[0, 1, 3]].tolist()
    figures = statistics.key_figures(joined)
    assert {name: part["images"] for name, part in figures["parts"].items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    assert figures["parts"]["train"]["patients"] == 2
    assert figures["train_val"]["male"] == pytest.approx(1 / 3)
    assert figures["train_val"]["single_label"] == pytest.approx(2 / 3)


def test_an_image_without_a_split_is_refused_by_name() -> None:
    split = SMALL[["image"]].assign(split="train").iloc[1:]
    with pytest.raises(ValueError, match=r"1 images .* in no split.*00000000_000\.png"):
        statistics.with_split(SMALL, split)


def test_an_image_with_two_parts_is_refused_by_name() -> None:
    split = pd.concat([SMALL[["image"]].assign(split=part) for part in ("train", "test")])
    with pytest.raises(ValueError, match=r"00000000_000\.png more than once"):
        statistics.with_split(SMALL, split)


def test_the_official_lists_give_the_figures_of_the_study(official: pd.DataFrame) -> None:
    figures = statistics.key_figures(official)
    parts, studied = figures["parts"], figures["train_val"]
    assert (figures["images"], figures["patients"]) == (112_120, 30_805)
    assert (parts["train"]["images"], parts["train"]["patients"]) == (86_524, 28_008)
    assert (parts["test"]["images"], parts["test"]["patients"]) == (25_596, 2_797)
    assert round(studied["no_finding"], 2) == 0.58
    assert round(studied["single_label"], 2) == 0.85
    assert round(studied["male"], 2) == 0.56
    assert round(studied["atelectasis_female"], 2) == 0.40
    assert round(studied["atelectasis_male"], 2) == 0.60


def test_the_ages_of_the_v2020_table_are_as_summary_says(official: pd.DataFrame) -> None:
    """The study names 60 the mode and 94 the oldest; the docstring of statistics.py says why not."""
    images = statistics.train_val(official)
    studied = statistics.key_figures(official)["train_val"]
    assert (studied["age_mode"], studied["age_fullest_ten_years"]) == (52, 60)
    assert (images["age"] == 52).sum() == 2_305
    assert (images["age"] == 60).sum() == 1_836
    assert images["age"].between(51, 60).sum() == 20_893
    assert images["age"].between(50, 59).sum() == 20_874
    assert studied["age_oldest"] == 95
    assert images.loc[images["age"] > 94, "image"].tolist() == ["00014456_000.png"]
