"""Folds of the patients of train, for cross-fitted relabelling."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.paths import split_of_fold
from cxr14.datasets.records import LEFT_OUT, read_split
from cxr14.datasets.split import choose_patients
from cxr14.errors import UserError
from cxr14.io import sha256

NO_FOLD = -1
Folds = npt.NDArray[np.int64]


def cut_folds(images: pd.DataFrame, splits: npt.NDArray[Any], count: int, seed: int) -> Folds:
    """Cut train into folds by patient, each with about the same share of every finding.

    Args:
        images: patient, labels and has_pixels (N rows).
        splits: (N,) train, val or test.
        count: how many folds.
        seed: of the cut.

    Returns:
        int64 (N,): the fold of each train image, NO_FOLD for the others.
    """
    folds = np.where(splits == "train", count - 1, NO_FOLD)
    for fold in range(count - 1):
        rest = images[folds == count - 1]
        chosen = choose_patients(rest, 1 / (count - fold), (), seed + fold)
        folds[(folds == count - 1) & images["patient"].isin(chosen).to_numpy()] = fold
    return folds


def split_without(split: pd.DataFrame, folds: Folds, fold: int) -> pd.DataFrame:
    """Return the split in which the images of a fold are left out of train."""
    left_out = folds == fold
    return split.assign(split=split["split"].where(~left_out, LEFT_OUT))


def relabelling_members(
    chosen: Sequence[str], fold_of: Mapping[str, int], fold: int, count: int
) -> list[str]:
    """Name the members that relabel a fold: those that left it out, all without folds.

    Args:
        chosen: names of the selected networks.
        fold_of: the fold that each leaves out.
        fold: the fold to relabel; NO_FOLD is val, which all members relabel.
        count: how many folds there are; 1 is the plain form.
    """
    everyone = count == 1 or fold == NO_FOLD
    return [name for name in chosen if everyone or fold_of[name] == fold]


def folds_of(names: "pd.Series[str]", train: npt.NDArray[np.bool_], count: int) -> Folds:
    """Read the fold of each of N images from the splits; 0 for train images without folds.

    Args:
        names: of the images (N,).
        train: (N,) which of them are in train.
        count: how many folds there are.
    """
    folds = np.where(train, 0, NO_FOLD)
    for fold in range(count) if count > 1 else ():
        split = read_split(split_of_fold(fold))
        folds[names.isin(split.loc[split["split"] == LEFT_OUT, "image"])] = fold
    return folds


def check_unseen(names: Iterable[str], split: pd.DataFrame, network: str) -> None:
    """Check that a network relabels no image that it was trained on.

    Args:
        names: of the images that it relabels.
        split: the split by which it was trained.
        network: its name.

    Raises:
        UserError: an image was in its train split.
    """
    leaked = sorted(set(names) & set(split.loc[split["split"] == "train", "image"]))
    if leaked:
        raise UserError(
            f"{network} would relabel {len(leaked)} image(s) that it trained on, "
            f"first {leaked[0]}; "
            f"run `dvc repro chexnext/dvc.yaml`, or set members.folds to 1 for the plain form"
        )


def check_trained_by(split: Path, model: Mapping[str, Any], network: str) -> None:
    """Check that a network was trained with a split file.

    Args:
        split: the file.
        model: the content of model.json.
        network: its name.

    Raises:
        UserError: the network was trained by another split, or another content of it.
    """
    if model["inputs"].get(split.as_posix()) != sha256(split):
        raise UserError(
            f"{network} was not trained by {split} as it is now; run `dvc repro chexnext/dvc.yaml`"
        )
