"""Split into train, val and test by the official lists, or by patient with stratification.

No patient is in two splits, neither in the official lists nor here. Without lists the fractions
are about the official ones, and patients with boxes are in test, as in the official lists: boxes
are for testing only.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.raw import RENEW
from cxr14.datasets.records import SPLITS, check_disjoint
from cxr14.errors import UserError
from cxr14.labels import FINDINGS, LABEL_COLUMNS, MORE_POSITIVES


def official_split(
    images: pd.DataFrame,
    train_val_names: list[str],
    test_names: list[str],
    lists: str = "the official lists",
) -> pd.Series:
    """Return 'train_val' or 'test' for each image (N,) by the official lists.

    Args:
        images: image and patient (N rows).
        train_val_names: images of the list for train and val.
        test_names: images of the list for test.
        lists: name of the two lists in errors.

    Raises:
        UserError: an image is in both lists or in none, or a patient is in both splits.
    """
    advice = f"correct the lists and run {RENEW}, or set split.official: false"
    train_val, test = images.image.isin(train_val_names), images.image.isin(test_names)
    for wrong, reason in ((train_val & test, "both"), (~train_val & ~test, "neither")):
        if wrong.any():
            raise UserError(
                f"{wrong.sum()} images are in {reason} of {lists}, first "
                f"{images.image[wrong].iloc[0]}; {advice}"
            )
    splits = pd.Series(np.where(test, "test", "train_val"), index=images.index)
    try:
        check_disjoint(images.patient, splits)
    except UserError as error:
        raise UserError(f"{lists}: {error}; {advice}") from None
    return splits


def choose_patients(
    images: pd.DataFrame, fraction: float, forced: Collection[int], seed: int
) -> set[int]:
    """Choose the patients of a split, stratified by finding.

    Patients are assigned one by one, those with most images and findings first, to the side that
    keeps the split's share of every finding nearest to `fraction`. Patients with and without pixels
    are stratified separately, so that a sample with pixels is stratified as well.

    Args:
        images: patient, the label columns and has_pixels, one row per image.
        fraction: target share of the images, 0..1.
        forced: patients who are in the split whatever the share.
        seed: seed of the order of the patients.
    """
    rng = np.random.default_rng(seed)
    visible = images.patient[images.has_pixels]
    chosen: set[int] = set()
    for group in (images[images.has_pixels], images[~images.patient.isin(visible)]):
        per_image = group[[*LABEL_COLUMNS]].clip(lower=0).assign(patient=group.patient, images=1)
        counts = per_image.groupby("patient", sort=True).sum()  # (patients, 15 labels + images)
        fixed = counts.index.isin(list(forced))
        inside = _stratify(counts.to_numpy(np.int64), fixed, fraction, rng)
        chosen.update(counts.index[inside].tolist())
    return chosen


def _stratify(
    counts: npt.NDArray[np.int64],
    fixed: npt.NDArray[np.bool_],
    fraction: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Return the mask of the items (P, L) in the split; the `fixed` ones always are."""
    inside = fixed.copy()
    # Relative surplus counts: a rare finding weighs as much as a common one.
    importance = 1 / np.maximum(counts.sum(0), 1) ** 2
    # Count of each label in the split minus its share of the labels assigned so far.
    surplus = (1 - fraction) * counts[fixed].sum(0)
    shuffled = rng.permutation(np.flatnonzero(~fixed))
    largest_first = shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]
    for item in largest_first:
        with_item = surplus + (1 - fraction) * counts[item]
        without = surplus - fraction * counts[item]
        inside[item] = importance @ with_item**2 < importance @ without**2
        surplus = with_item if inside[item] else without
    return inside


def split_patients(
    images: pd.DataFrame,
    boxed: Collection[str],
    official: pd.Series | None,
    test_fraction: float,
    val_fraction: float,
    seed: int,
) -> pd.DataFrame:
    """Split all images by patient.

    Args:
        images: the records, one row per image, with has_pixels.
        boxed: names of images with boxes, which are for testing only.
        official: 'train_val' or 'test' per image, or None to stratify test too.
        test_fraction: share of test of all images, if `official` is None.
        val_fraction: share of val of the train-val images.
        seed: seed of both splits.

    Returns:
        image, patient, split (train, val or test); no patient is in two splits.

    Raises:
        UserError: a patient is in two splits, a split is empty, or an image with boxes is not in
            the official test list.
    """
    has_box = images.image.isin(boxed)
    if official is None:
        forced = set(images.patient[has_box])
        tested = images.patient.isin(choose_patients(images, test_fraction, forced, seed))
    else:
        tested = official == "test"
        learned = images.image[has_box & images.has_pixels & ~tested]
        if len(learned):
            raise UserError(
                f"{len(learned)} images with boxes are not in the official test list, first "
                f"{learned.iloc[0]}, and boxes are for testing only; set split.official: false, "
                f"and their patients go to test"
            )
    validating = choose_patients(images[~tested], val_fraction, (), seed + 1)
    splits = np.where(tested, "test", np.where(images.patient.isin(validating), "val", "train"))
    split = images[["image", "patient"]].assign(split=splits)
    check_disjoint(split.patient, split.split)
    missing = set(SPLITS) - set(split.split)
    if missing:
        raise UserError(
            f"no images are left for {', '.join(sorted(missing))}; see `split` in params.yaml"
        )
    return split


def unscorable(images: pd.DataFrame, split: "pd.Series[str]") -> str | None:
    """Return why no network could be scored on val, or None if one could.

    Args:
        images: the labels and has_pixels, one row per image.
        split: train, val or test (or another text) of each, in the same order.
    """
    splits = split.to_numpy()[images.has_pixels]
    for finding in FINDINGS:
        labels = images.loc[images.has_pixels, finding].to_numpy()
        counts = [labels[splits == name] for name in ("train", "val")]
        if all((values == 1).any() and (values == 0).any() for values in counts):
            return None
    return (
        "no finding has images with and without it in both train and val, counting images with "
        f"pixels, so no network can be trained and scored; {MORE_POSITIVES}"
    )


def count_splits(images: pd.DataFrame, split: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Count images, patients and labels per split, for all rows and for those with pixels."""
    joined = images.assign(split=split.split.to_numpy())
    counts: dict[str, dict[str, Any]] = {}
    for name, rows in (("all", joined), ("with_pixels", joined[joined.has_pixels])):
        counts[name] = {
            split_name: {
                "images": len(split_rows),
                "patients": split_rows.patient.nunique(),
                "labels": {label: int((split_rows[label] == 1).sum()) for label in LABEL_COLUMNS},
            }
            for split_name, split_rows in ((s, rows[rows.split == s]) for s in SPLITS)
        }
    return counts
