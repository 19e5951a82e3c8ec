"""New labels of train and val; test labels never change."""

import numpy as np
import pandas as pd
import pytest

from cxr14.chexnext.relabel import (
    binarize,
    check_only_train_val,
    f1_thresholds,
    relabelled_records,
)
from cxr14.labels import CLASSES, FINDINGS, NO_FINDING_COLUMN
from tests.chexnext.tables import records, splits

ROWS = np.arange(150)  # train and val
NOTHING = np.zeros((150, 15), bool)


def test_replace_takes_the_predictions_and_no_finding_follows() -> None:
    present = NOTHING.copy()
    present[3, FINDINGS.index("Mass")] = True
    new = relabelled_records(records(), ROWS, present, CLASSES, "replace")
    assert new["Mass"][:150].sum() == 1
    assert new[NO_FINDING_COLUMN][:150].sum() == 149
    assert new[NO_FINDING_COLUMN][3] == 0
    assert new.dtypes.equals(records().dtypes)


def test_union_keeps_every_positive_that_was_there() -> None:
    present = NOTHING.copy()
    present[3, FINDINGS.index("Mass")] = True
    before, new = records(), relabelled_records(records(), ROWS, present, CLASSES, "union")
    kept = new[list(FINDINGS)] >= before[list(FINDINGS)]
    assert kept.to_numpy().all()
    assert new["Mass"][3] == 1
    rest = [name for name in before.columns if name not in ("Mass", NO_FINDING_COLUMN)]
    pd.testing.assert_frame_equal(new[rest], before[rest])


def test_predictions_of_no_finding_are_ignored() -> None:
    present = NOTHING.copy()
    present[:, CLASSES.index("No Finding")] = True
    present[:, FINDINGS.index("Hernia")] = True
    assert (
        relabelled_records(records(), ROWS, present, CLASSES, "replace")[NO_FINDING_COLUMN][
            :150
        ].sum()
        == 0
    )


def test_a_finding_that_is_not_trained_keeps_its_labels_and_counts_for_no_finding() -> None:
    new = relabelled_records(
        records(), ROWS, np.zeros((150, 2), bool), ["Mass", "No Finding"], "replace"
    )
    pd.testing.assert_series_equal(new["Nodule"], records()["Nodule"])
    others = (new[list(FINDINGS)] > 0).any(axis=1)
    assert (new[NO_FINDING_COLUMN] == ~others).all()


def test_the_threshold_is_that_of_highest_f1_and_none_leaves_the_labels() -> None:
    classes = ["Mass", "Hernia", "No Finding"]
    labels = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]])
    mean = np.array([[0.6, 0.9, 0.1], [0.4, 0.9, 0.2], [0.5, 0.9, 0.3], [0.1, 0.9, 0.4]])
    limits = f1_thresholds(labels, mean, classes)
    assert limits == {"Mass": 0.5, "Hernia": None}
    old = np.array([[1, 1, 0]] * 4)
    np.testing.assert_array_equal(binarize(mean, limits, classes, old)[:, 0], [1, 0, 1, 0])
    assert binarize(mean, limits, classes, old)[:, 1].all()


def test_relabelling_train_and_val_passes_the_check() -> None:
    new = relabelled_records(records(), ROWS, ~NOTHING, CLASSES, "replace")
    check_only_train_val(records(), new, splits())
    changed = (new != records()).any(axis=1)
    assert changed.iloc[:150].any()
    assert not changed.iloc[150:].any()


def test_a_relabelled_test_image_is_found_however_small_the_change() -> None:
    """The assertion of the stage: one label of one test image, and the run stops."""
    new = relabelled_records(records(), np.array([149, 150]), ~NOTHING[:2], CLASSES, "replace")
    with pytest.raises(ValueError, match=r"1 image\(s\) outside of train and val, first 0150.png"):
        check_only_train_val(records(), new, splits())
    one = records()
    one.loc[199, "Hernia"] = 1 - one.loc[199, "Hernia"]
    with pytest.raises(ValueError, match=r"first 0199.png: that would leak into test"):
        check_only_train_val(records(), one, splits())


def test_a_table_in_another_order_is_found() -> None:
    with pytest.raises(ValueError, match="leak into test"):
        check_only_train_val(records(), records()[::-1].reset_index(drop=True), splits())
    with pytest.raises(ValueError, match="other rows or columns"):
        check_only_train_val(records(), records()[:-1], splits())
