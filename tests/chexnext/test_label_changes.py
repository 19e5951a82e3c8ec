"""Label changes counted by hand, in both directions and against the truth."""

import numpy as np
import pytest

from cxr14.chexnext.label_changes import (
    ALL,
    UNKNOWN,
    count_changes,
    label_changes_table,
    most_confident,
    repaired,
)

OLD = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
NEW = np.array([1, 0, 0, 1, 1, 1, 0, 0], bool)
TRUE = np.array([1, 1, 0, 1, 1, 0, 1, 0], bool)


def test_both_directions_and_the_survivors_are_counted() -> None:
    row = count_changes(OLD, NEW)
    assert (row["added"], row["removed"]) == (3, 2)
    assert row["survived"] == pytest.approx(1 / 3)
    assert (row["prevalence_before"], row["prevalence_after"]) == (3 / 8, 4 / 8)


def test_precision_and_recall_of_label_changes_are_those_of_the_errors() -> None:
    """Missed were 3, 4 and 6; wrong was 2. Added: 3, 4 and (wrongly) 5. Removed: 1 (wrongly), 2."""
    row = repaired(OLD, NEW, TRUE)
    assert row["added_precision"] == pytest.approx(2 / 3)
    assert row["added_recall"] == pytest.approx(2 / 3)
    assert (row["removed_precision"], row["removed_recall"]) == (0.5, 1.0)
    assert (row["wrong_before"], row["wrong_after"]) == (4, 3)
    assert row["noise_repaired"] == pytest.approx(1 / 4)


def test_harmful_changes_repair_less_than_nothing() -> None:
    assert repaired(TRUE, ~TRUE, TRUE)["noise_repaired"] is None  # there was no noise
    worse = repaired(OLD, ~TRUE, TRUE)
    assert worse["noise_repaired"] == pytest.approx(1 - 8 / 4)


def test_without_the_truth_cells_are_empty_and_have_a_reason() -> None:
    row = repaired(OLD, NEW, None)
    assert row.pop("reason") == UNKNOWN
    assert set(row.values()) == {None}
    assert repaired(OLD, OLD, TRUE)["reason"] == "no label was added or removed"


def test_the_table_has_a_row_for_each_split_and_finding_and_their_sum() -> None:
    before, after, true = (np.stack([own, own], axis=1) for own in (OLD, NEW, TRUE))
    splits = np.array(["train"] * 4 + ["val"] * 3 + ["test"])
    table = label_changes_table(before, after, true, splits, ["Mass", "Nodule"])
    assert list(table["finding"]) == ["Mass", "Nodule", ALL] * 2
    assert list(table["labels"]) == [4, 4, 8, 3, 3, 6]  # test is in no row
    total = table[table["finding"] == ALL]
    assert list(total["added"]) == [2, 4]


def test_the_most_confident_changes_are_farthest_beyond_the_threshold_and_of_several_findings() -> (
    None
):
    before, after = np.zeros((4, 2), bool), np.ones((4, 2), bool)
    after[0, 1] = False
    margins = np.array([[1.0, 9.0], [4.0, 0.5], [3.0, 0.2], [2.0, 0.1]])
    chosen = most_confident(before, after, margins, ["Mass", "Nodule"], "added", count=3)
    assert chosen == [(1, 0), (2, 0), (1, 1)]  # two of Mass at most; 9.0 is no change
    assert most_confident(before, after, margins, ["Mass", "Nodule"], "removed", 3) == []
