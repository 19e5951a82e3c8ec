"""Patients in parts: disjoint, covering, fair, and the official lists as they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from cxr14.datasets.image_table import read_list_table
from cxr14.datasets.split import (
    SPLITS,
    choose_patients,
    count_splits,
    official_split,
    split_patients,
    unscorable,
)
from cxr14.labels import FINDINGS, LABEL_COLUMNS


def synthetic(patients: int, seed: int, with_pixels: float = 1.0) -> pd.DataFrame:
    """Records of patients with 1–8 images and labels as rare as 1 in 100."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    prevalence = np.geomspace(0.01, 0.3, len(FINDINGS))
    found = rng.random((len(owners), len(FINDINGS))) < prevalence
    labels = np.column_stack([found, ~found.any(axis=1)]).astype(np.uint8)
    images = pd.DataFrame(labels, columns=list(LABEL_COLUMNS))
    images.insert(0, "image", [f"{n:06d}.png" for n in range(len(owners))])
    images.insert(1, "patient", owners)
    return images.assign(has_pixels=owners < patients * with_pixels)


@settings(deadline=None, max_examples=15)
@given(
    patients=st.integers(8, 60),
    seed=st.integers(0, 1000),
    test=st.floats(0.15, 0.5),
    val=st.floats(0.15, 0.5),
    boxed=st.integers(0, 5),
)
def test_parts_are_disjoint_covering_repeatable_and_boxed_patients_are_in_test(
    patients, seed, test, val, boxed
):
    images = synthetic(patients, seed, with_pixels=0.5)
    names = images.image.sample(boxed, random_state=seed).tolist()
    try:
        split = split_patients(images, names, None, test, val, seed)
    except ValueError as error:
        if "no images are left for" not in str(error):
            raise
        reject()
    assert split.image.tolist() == images.image.tolist()
    assert set(split.split) == set(SPLITS)
    assert (split.groupby("patient").split.nunique() == 1).all()
    owners = split.patient[split.image.isin(names)]
    assert (split.split[split.patient.isin(owners)] == "test").all()
    again = split_patients(images, names[::-1], None, test, val, seed)
    assert again.equals(split)


def test_every_label_gets_its_share_with_and_without_pixels():
    images = synthetic(3000, seed=3, with_pixels=0.2)
    split = split_patients(images, [], None, 0.23, 0.3, seed=5)
    for group in (images.has_pixels, ~images.has_pixels):
        part = split.split[group]
        counted = images[group].assign(images=1)[[*LABEL_COLUMNS, "images"]]
        tested, rest = counted[part == "test"].sum(), counted[part != "test"].sum()
        validated = counted[part == "val"].sum()
        assert ((tested - 0.23 * (tested + rest)).abs() < 0.01 * counted.sum() + 2).all()
        assert ((validated - 0.3 * rest).abs() < 0.01 * counted.sum() + 2).all()


def test_forced_patients_count_towards_the_share():
    images = synthetic(500, seed=1)
    forced = list(range(50))
    chosen = choose_patients(images, 0.25, forced, seed=1)
    assert chosen >= set(forced)
    share = images.patient.isin(chosen).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_another_seed_is_another_split():
    images = synthetic(200, seed=1)
    first, second = (choose_patients(images, 0.3, (), seed) for seed in (1, 2))
    assert first != second


def small(*parts: str) -> tuple[pd.DataFrame, pd.Series]:
    """Two images of patient 1, one each of the patients 2, 3, 4; and their official parts."""
    images = (
        synthetic(4, seed=0)
        .head(5)
        .assign(image=list("abcde"), patient=[1, 1, 2, 3, 4], has_pixels=True)
    )
    return images, pd.Series(parts)


def test_a_patient_in_both_official_lists_is_refused():
    images, _ = small()
    with pytest.raises(
        ValueError, match=r"/own/a\.txt: 1 patients are in two parts, first 1; correct"
    ):
        official_split(images, ["a", "c", "d"], ["b", "e"], "/own/a.txt")


def test_official_parts_that_straddle_are_refused_however_they_came():
    images, parts = small("train_val", "test", "train_val", "train_val", "test")
    with pytest.raises(ValueError, match="patients are in two parts, first 1"):
        split_patients(images, [], parts, 0.2, 0.5, seed=0)


@pytest.mark.parametrize(
    ("train_val", "reason"), [(["a", "b", "c", "e"], "both"), (["a", "b"], "neither")]
)
def test_an_image_in_both_lists_or_in_none_is_named(train_val, reason):
    images, _ = small()
    with pytest.raises(ValueError, match=rf"1 images are in {reason} of the official lists, first"):
        official_split(images, train_val, ["d", "e"])


def test_official_lists_that_would_train_on_a_boxed_image_are_refused():
    """It used to be noticed by `localize-iobb`, when the networks had been trained."""
    images, parts = small("test", "test", "train_val", "train_val", "train_val")
    with pytest.raises(ValueError, match="1 images with boxes are not in the official test list, "):
        split_patients(images, ["a", "d"], parts, 0.2, 0.5, seed=0)
    assert len(split_patients(images, ["a"], parts, 0.2, 0.5, seed=0)) == 5
    unseen = images.assign(has_pixels=images.image != "d")  # cannot be trained on
    assert len(split_patients(unseen, ["a", "d"], parts, 0.2, 0.5, seed=0)) == 5


def test_a_part_without_images_is_refused():
    images, parts = small("train_val", "train_val", "train_val", "train_val", "train_val")
    with pytest.raises(ValueError, match=r"no images are left for test; see `split`"):
        split_patients(images, [], parts, 0.2, 0.5, seed=0)


def test_counts_are_per_part_for_all_rows_and_for_those_with_pixels():
    images, _ = small()
    images = images.assign(has_pixels=[True, True, True, False, True], Mass=[1, 0, 1, 1, 0])
    split = images[["image", "patient"]].assign(split=["test", "test", "train", "val", "train"])
    counts = count_splits(images, split)
    own = {p: (c["images"], c["patients"], c["labels"]["Mass"]) for p, c in counts["all"].items()}
    assert own == {"train": (2, 2, 1), "val": (1, 1, 1), "test": (2, 1, 1)}
    assert counts["with_pixels"]["val"]["images"] == 0


def test_the_official_lists_fit_the_table_and_leave_boxes_in_test(nih, tables):
    records, boxes = tables
    lists = [
        read_list_table(nih / name).frame.image.tolist()
        for name in ("train_val_list.txt", "test_list.txt")
    ]
    parts = official_split(records, *lists)
    assert parts.value_counts().to_dict() == {"train_val": 86_524, "test": 25_596}
    assert records.patient.groupby(parts).nunique().to_dict() == {
        "test": 2_797,
        "train_val": 28_008,
    }
    assert (parts[records.image.isin(boxes.image)] == "test").all()
    split = split_patients(
        records.assign(has_pixels=True), set(boxes.image), parts, 0.23, 0.1, seed=14
    )
    assert ((split.split == "test") == (parts == "test")).all()
    assert (split.split == "val").sum() == pytest.approx(8_652, rel=0.01)


def test_a_val_part_without_positives_is_told_of_counting_images_with_pixels_alone():
    images = pd.DataFrame(0, index=range(8), columns=list(LABEL_COLUMNS)).assign(has_pixels=True)
    split = pd.Series(["train"] * 4 + ["val"] * 4)
    images.loc[0, "Mass"] = 1
    assert "raise split.val_fraction, change split.seed, or add images" in unscorable(images, split)
    images.loc[4, "Nodule"] = 1  # nobody in train has it
    assert unscorable(images, split) is not None
    images.loc[5, "Mass"] = 1
    assert unscorable(images, split) is None
    images.loc[5, "has_pixels"] = False
    assert unscorable(images, split) is not None
    images.loc[4:, "Mass"] = 1  # positives alone cannot be ranked either
    assert unscorable(images, split) is not None
