"""The split on disk is disjoint by patient whenever it is read."""

import pandas as pd
import pytest

from cxr14.datasets.records import check_in_split, read_split
from cxr14.errors import UserError
from cxr14.io import write_parquet

SPLIT = pd.DataFrame(
    {"image": list("abcd"), "patient": [1, 1, 2, 3], "split": ["train", "train", "val", "test"]}
)


def test_a_disjoint_split_is_read_as_it_is(tmp_path):
    write_parquet(tmp_path / "split.parquet", SPLIT)
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.parquet"), SPLIT)


def test_a_patient_in_two_parts_is_refused_with_the_command_to_run(tmp_path):
    write_parquet(tmp_path / "split.parquet", SPLIT.assign(patient=[1, 2, 2, 3]))
    with pytest.raises(
        UserError, match=r"split\.parquet: 1 patients are in two parts, first 2; run"
    ):
        read_split(tmp_path / "split.parquet")


def test_a_split_without_patients_is_refused(tmp_path):
    write_parquet(tmp_path / "split.parquet", SPLIT.drop(columns="patient"))
    with pytest.raises(UserError, match="lacks the column patient"):
        read_split(tmp_path / "split.parquet")


def test_images_scored_as_another_part_than_the_split_says_are_refused():
    check_in_split(["d"], "test", SPLIT)
    with pytest.raises(
        UserError, match=r"2 images are scored as test, .* first a; run `dvc repro`"
    ):
        check_in_split(["d", "c", "a"], "test", SPLIT)
