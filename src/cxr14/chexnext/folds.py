"""Folds of the patients of train, for cross-fitted relabelling."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.paths import NetworkPaths, split_of_fold
from cxr14.datasets.records import LEFT_OUT, read_split
from cxr14.datasets.split import choose_patients
from cxr14.errors import UserError
from cxr14.io import read_json, sha256

NO_FOLD = -1
Folds = npt.NDArray[np.int64]


def cut_folds(images: pd.DataFrame, splits: npt.NDArray[Any], count: int, seed: int) -> Folds:
    """Cut train into folds by patient, each with about the same share of every finding.

    Args:
        images: patient, labels and has_pixels (N rows).
        splits: (N,) train, val or test.
        count: number of folds.
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
    return split.assign(split=split["split"].where(folds != fold, LEFT_OUT))


def relabelling_members(
    chosen: Sequence[str], fold_of: Mapping[str, int], fold: int, count: int
) -> list[str]:
    """List the members that relabel a fold: those that left it out; all without folds.

    Args:
        chosen: names of the selected members.
        fold_of: the fold that each leaves out.
        fold: the fold to relabel; NO_FOLD is val, which all members relabel.
        count: number of folds; 1 is the plain form.
    """
    relabel_all = count == 1 or fold == NO_FOLD
    return [name for name in chosen if relabel_all or fold_of[name] == fold]


def folds_of(names: "pd.Series[str]", train: npt.NDArray[np.bool_], count: int) -> Folds:
    """Read the fold of each of N images from the splits; 0 for train images without folds.

    Args:
        names: of the images (N,).
        train: (N,) which of them are in train.
        count: number of folds.
    """
    folds = np.where(train, 0, NO_FOLD)
    for fold in range(count) if count > 1 else ():
        split = read_split(split_of_fold(fold))
        folds[names.isin(split.loc[split["split"] == LEFT_OUT, "image"])] = fold
    return folds


def check_member(member: NetworkPaths, fold: int, names: Iterable[str]) -> None:
    """Check that a member was trained without its fold; `names` are the images of the fold."""
    path = split_of_fold(fold)
    check_trained_by(path, read_json(member.model / "model.json", "inputs"), member.title)
    check_unseen(names, read_split(path), member.title)


def check_unseen(names: Iterable[str], split: pd.DataFrame, network: str) -> None:
    """Check that a network relabels no image that it was trained on.

    Args:
        names: of the images that it relabels.
        split: the split that it was trained with.
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
        UserError: the network was trained with another split, or another content of it.
    """
    if model["inputs"].get(split.as_posix()) != sha256(split):
        raise UserError(
            f"{network} was not trained by {split} as it is now; run `dvc repro chexnext/dvc.yaml`"
        )
