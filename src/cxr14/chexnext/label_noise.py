"""Labels of phantoms made as wrong as mined labels are, so that relabelling has work to do.

A wrong label hits at random. Mined labels are wrong more often where a finding is faint or its
report ambiguous, so what is repaired here is easier to repair than on the real set.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import FINDINGS, NO_FINDING_COLUMN

PARTS = ("train", "val")
"""The parts whose labels change; those of test stay true, and judge."""


def with_no_finding(images: pd.DataFrame, rows: npt.NDArray[Any]) -> pd.DataFrame:
    """Set No Finding anew in some rows of a table: none of the fourteen findings is positive.

    Args:
        images: the records (N rows).
        rows: positions (M,), or bool (N,).
    """
    column = images[NO_FINDING_COLUMN].to_numpy().copy()
    column[rows] = ~(images[list(FINDINGS)].to_numpy()[rows] > 0).any(axis=1)
    return images.assign(**{NO_FINDING_COLUMN: column})


def add_noise(
    images: pd.DataFrame,
    parts: npt.NDArray[Any],
    rates: Mapping[str, tuple[float, float]],
    seed: int,
) -> pd.DataFrame:
    """Take labels away and give wrong ones, at exact rates in train and in val.

    Of P positives of a finding round(missed × P) lose the label. To the K that keep it come
    round(K × wrong / (1 − wrong)) negatives, so that the share `wrong` of all labels given is.

    Args:
        images: the records (N rows), true labels.
        parts: (N,) the part of each image that has pixels, anything else for the others.
        rates: missed and wrong by finding, each in [0, 1).
        seed: each finding and part draws from a generator of its own.

    Returns:
        The records with other labels in train and val; No Finding follows from them.

    Raises:
        UserError: there are too few negatives for the wrong labels.
    """
    noisy = images.copy()
    for number, finding in enumerate(FINDINGS):
        column = images[finding].to_numpy().copy()
        for place, part in enumerate(PARTS):
            generator = np.random.default_rng([seed, number, place])
            _disturb(column, np.flatnonzero(parts == part), *rates[finding], generator, finding)
        noisy[finding] = column
    return with_no_finding(noisy, np.isin(parts, PARTS))


def _disturb(
    labels: npt.NDArray[Any],
    places: npt.NDArray[np.int64],
    missed: float,
    wrong: float,
    generator: np.random.Generator,
    finding: str,
) -> None:
    """Change the labels (N,) of one finding at some places, in place."""
    positives, negatives = (places[(labels[places] > 0) == present] for present in (True, False))
    lost = round(missed * len(positives))
    given = round((len(positives) - lost) * wrong / (1 - wrong))
    if given > len(negatives):
        raise UserError(
            f"noise.rates.{finding}.wrong is {wrong:g}: that takes {given} wrong labels, and there "
            f"are only {len(negatives)} images without {finding}; lower it"
        )
    labels[generator.choice(positives, lost, replace=False)] = 0
    labels[generator.choice(negatives, given, replace=False)] = 1


def count_noise(true: pd.DataFrame, noisy: pd.DataFrame, parts: npt.NDArray[Any]) -> pd.DataFrame:
    """Count what was done: part, finding, images, positives, missed, wrong, labels (given)."""
    rows = []
    for part in PARTS:
        inside = parts == part
        for finding in FINDINGS:
            before, after = (table.loc[inside, finding].to_numpy() > 0 for table in (true, noisy))
            rows.append(
                {
                    "part": part,
                    "finding": finding,
                    "images": int(inside.sum()),
                    "positives": int(before.sum()),
                    "missed": int((before & ~after).sum()),
                    "wrong": int((after & ~before).sum()),
                    "labels": int(after.sum()),
                }
            )
    return pd.DataFrame(rows)
