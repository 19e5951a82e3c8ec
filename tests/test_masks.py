"""Masks as run lengths."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr14.errors import UserError
from cxr14.masks import (
    SIDE,
    decode_mask,
    encode_mask,
    mask_table,
    read_masks,
    write_masks,
)


def corner(rows: int, columns: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:rows, :columns] = True
    return mask


def test_runs_alternate_from_false_row_by_row():
    assert encode_mask(corner(2, 3)).tolist() == [0, 3, SIDE - 3, 3, SIDE**2 - SIDE - 3]
    assert encode_mask(corner(0, 0)).tolist() == [SIDE**2]
    assert encode_mask(corner(SIDE, SIDE)).tolist() == [0, SIDE**2]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_a_mask_reads_back_as_it_was(seed: int, share: float):
    mask = np.random.default_rng(seed).random((SIDE, SIDE)) < share
    assert (decode_mask(encode_mask(mask)) == mask).all()


def test_a_table_of_masks_reads_back_as_it_was_written(tmp_path: Path):
    table = mask_table([("a.png", "Mass", corner(2, 3)), ("a.png", "Nodule", corner(9, 9))])
    write_masks(tmp_path / "masks.parquet", table)
    again = read_masks(tmp_path / "masks.parquet")
    assert again[["image", "finding"]].equals(table[["image", "finding"]])
    assert (decode_mask(again["runs"][1]) == corner(9, 9)).all()


def test_a_table_without_masks_can_be_written_and_read(tmp_path: Path):
    write_masks(tmp_path / "masks.parquet", mask_table([]))
    assert read_masks(tmp_path / "masks.parquet").empty


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("a.png", "Cough", encode_mask(corner(1, 1))), "a finding is unknown"),
        (("a.png", "Mass", np.array([5, 5], np.int32)), "does not have 256×256 pixels"),
    ],
)
def test_damage_is_named(tmp_path: Path, row: tuple, problem: str):
    write_masks(
        tmp_path / "masks.parquet", pd.DataFrame([row], columns=["image", "finding", "runs"])
    )
    with pytest.raises(UserError, match=problem):
        read_masks(tmp_path / "masks.parquet")
