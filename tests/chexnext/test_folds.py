"""Folds of patients: no member relabels an image that it was trained on."""

import numpy as np
import pandas as pd
import pytest

from cxr14.chexnext.folds import (
    LEFT_OUT,
    NO_FOLD,
    check_trained_by,
    check_unseen,
    cut_folds,
    folds_of,
    relabelling_members,
    split_without,
)
from cxr14.io import sha256, write_parquet
from cxr14.labels import FINDINGS
from tests.chexnext.tables import records, splits

SPLIT = records()[["image", "patient"]].assign(split=splits())
FOLDS = cut_folds(records(), splits(), 3, seed=14)


def test_folds_cover_train_and_nothing_else_and_keep_patients_whole() -> None:
    assert set(FOLDS[splits() == "train"]) == {0, 1, 2}
    assert (FOLDS[splits() != "train"] == NO_FOLD).all()
    assert (pd.Series(FOLDS[:100]).groupby(records()["patient"][:100]).nunique() == 1).all()


def test_every_fold_has_about_a_third_of_the_images_and_of_each_finding() -> None:
    train = records()[:100]
    for fold in range(3):
        own = train[FOLDS[:100] == fold]
        assert 26 <= len(own) <= 40
        for name in FINDINGS:
            assert own[name].sum() == pytest.approx(train[name].sum() / 3, abs=4)


def test_a_split_without_a_fold_has_its_images_in_no_part_that_training_reads() -> None:
    split = split_without(SPLIT, FOLDS, 1)
    assert set(split["split"]) == {"train", "val", "test", LEFT_OUT}
    assert ((split["split"] == LEFT_OUT) == (FOLDS == 1)).all()
    same = split["split"] != LEFT_OUT
    pd.testing.assert_frame_equal(split[same], SPLIT[same])


def test_a_fold_is_relabelled_by_those_that_left_it_out_and_val_by_all() -> None:
    fold_of = {"a": 0, "b": 1, "c": 0}
    assert relabelling_members(list(fold_of), fold_of, 0, 2) == ["a", "c"]
    assert relabelling_members(list(fold_of), fold_of, 1, 2) == ["b"]
    assert relabelling_members(list(fold_of), fold_of, NO_FOLD, 2) == ["a", "b", "c"]


def test_in_the_plain_form_all_relabel_all() -> None:
    assert relabelling_members(["a", "b"], {"a": 0, "b": 0}, 0, 1) == ["a", "b"]
    names, train = pd.Series(["a", "b"]), np.array([True, False])
    assert folds_of(names, train, 1).tolist() == [0, NO_FOLD]


def test_a_network_that_would_relabel_an_image_of_its_own_training_is_stopped() -> None:
    split = split_without(SPLIT, FOLDS, 1)
    left_out = SPLIT["image"][FOLDS == 1]
    check_unseen(left_out, split, "member-alexnet-1")
    trained_on = SPLIT["image"][(FOLDS == 0)].head(1)
    with pytest.raises(ValueError, match=r"member-alexnet-1 would relabel 1 image.*it trained on"):
        check_unseen([*left_out, *trained_on], split, "member-alexnet-1")


def test_a_network_of_another_split_is_stopped(tmp_path) -> None:
    path = tmp_path / "1.parquet"
    write_parquet(path, split_without(SPLIT, FOLDS, 1))
    model = {"inputs": {path.as_posix(): sha256(path)}}
    check_trained_by(path, model, "member-alexnet-1")
    write_parquet(path, split_without(SPLIT, np.roll(FOLDS, 1), 1))
    with pytest.raises(ValueError, match="member-alexnet-1 was not trained by"):
        check_trained_by(path, model, "member-alexnet-1")
    with pytest.raises(ValueError, match="was not trained by"):
        check_trained_by(path, {"inputs": {}}, "member-alexnet-1")
