"""Label noise for phantoms, at the error rates of mined labels.

The noise is random. Mined labels are wrong more often where a finding is faint or its report is
ambiguous, so this noise is easier to correct than that of the real set.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import FINDINGS, LABEL_COLUMNS, NO_FINDING_COLUMN, UNKNOWN

SPLITS = ("train", "val")
"""The splits whose labels change; test keeps its true labels for evaluation."""


def check_labelled(images: pd.DataFrame) -> None:
    """Refuse unknown labels: relabelling and its score count every label.

    Raises:
        UserError: names the classes.
    """
    unknown = [name for name in LABEL_COLUMNS if (images[name] == UNKNOWN).any()]
    if unknown:
        raise UserError(
            f"the second pipeline needs every label, and those of {', '.join(unknown)} are unknown "
            f"for some images; use a table that labels all classes, with data.uncertain zeros or "
            f"ones"
        )


def with_no_finding(images: pd.DataFrame, rows: npt.NDArray[Any]) -> pd.DataFrame:
    """Recompute No Finding in some rows: none of the fourteen findings is positive.

    Args:
        images: the records (N rows).
        rows: indices (M,), or bool (N,).
    """
    column = images[NO_FINDING_COLUMN].to_numpy().copy()
    column[rows] = ~(images[list(FINDINGS)].to_numpy()[rows] > 0).any(axis=1)
    return images.assign(**{NO_FINDING_COLUMN: column})


def add_noise(
    images: pd.DataFrame,
    splits: npt.NDArray[Any],
    rates: Mapping[str, tuple[float, float]],
    seed: int,
) -> pd.DataFrame:
    """Remove and add labels at exact rates in train and in val.

    Of P positives of a finding round(missed × P) lose the label, and K keep it. Then
    round(K × wrong / (1 − wrong)) negatives become positive, so that a share `wrong` of the
    positive labels is false.

    Args:
        images: the records (N rows), true labels.
        splits: (N,) the split of each image that has pixels, any other value without pixels.
        rates: missed and wrong by finding, each in [0, 1).
        seed: each finding and split has its own generator.

    Returns:
        The records with other labels in train and val; No Finding follows from them.

    Raises:
        UserError: there are too few negatives for the wrong labels.
    """
    noisy = images.copy()
    for number, finding in enumerate(FINDINGS):
        column = images[finding].to_numpy().copy()
        for split_number, split in enumerate(SPLITS):
            generator = np.random.default_rng([seed, number, split_number])
            indices = np.flatnonzero(splits == split)
            _add_noise(column, indices, *rates[finding], generator, finding)
        noisy[finding] = column
    return with_no_finding(noisy, np.isin(splits, SPLITS))


def _add_noise(
    labels: npt.NDArray[Any],
    indices: npt.NDArray[np.int64],
    missed: float,
    wrong: float,
    generator: np.random.Generator,
    finding: str,
) -> None:
    """Change the labels (N,) of one finding at some indices, in place."""
    positives, negatives = (indices[(labels[indices] > 0) == present] for present in (True, False))
    n_missed = round(missed * len(positives))
    n_wrong = round((len(positives) - n_missed) * wrong / (1 - wrong))
    if n_wrong > len(negatives):
        raise UserError(
            f"noise.rates.{finding}.wrong is {wrong:g}: that takes {n_wrong} wrong labels, and "
            f"there are only {len(negatives)} images without {finding}; lower it"
        )
    labels[generator.choice(positives, n_missed, replace=False)] = 0
    labels[generator.choice(negatives, n_wrong, replace=False)] = 1


def count_noise(true: pd.DataFrame, noisy: pd.DataFrame, splits: npt.NDArray[Any]) -> pd.DataFrame:
    """Count the noise: split, finding, images, positives, missed, wrong, labels (with noise)."""
    rows = []
    for split in SPLITS:
        inside = splits == split
        for finding in FINDINGS:
            before, after = (table.loc[inside, finding].to_numpy() > 0 for table in (true, noisy))
            rows.append(
                {
                    "split": split,
                    "finding": finding,
                    "images": int(inside.sum()),
                    "positives": int(before.sum()),
                    "missed": int((before & ~after).sum()),
                    "wrong": int((after & ~before).sum()),
                    "labels": int(after.sum()),
                }
            )
    return pd.DataFrame(rows)
