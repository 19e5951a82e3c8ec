"""The images of a run, counted by split: labels, label pairs, ages and sexes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr14.datasets.records import SPLITS, read_records, read_split
from cxr14.datasets.statistics import SEXES, with_split
from cxr14.labels import CLASSES, FINDINGS, LABEL_COLUMNS, UNKNOWN
from cxr14.preprocessing.cache import read_index

BAND: Final = 10  # years
OLDEST: Final = 90  # ages from here on are one band


@dataclass(frozen=True)
class Cohort:
    """Records of the images with pixels, with the column ``split``, and how many records exist."""

    records: pd.DataFrame
    listed: int

    def of(self, split: str) -> pd.DataFrame:
        """Return the records of a split."""
        return self.records[self.records["split"] == split]

    def size(self, split: str) -> tuple[int, int]:
        """Return the numbers of images and patients of a split."""
        rows = self.of(split)
        return len(rows), int(rows["patient"].nunique())


def read_cohort(root: Path) -> Cohort:
    """Read the records, the split and the index of the cache.

    Raises:
        UserError: a file is missing or damaged.
    """
    records = read_records(root / "data/records/images.parquet")
    split = read_split(root / "data/split/split.parquet")
    index = read_index(root / "data/cache/index.parquet")
    used = records[records["image"].isin(index["image"])]
    return Cohort(with_split(used, split), len(records))


def prevalence(cohort: Cohort) -> pd.DataFrame:
    """Count the positives of every class in every split.

    Returns:
        finding, split, positives, known (images whose label is not unknown), share (NaN without
        any); in the order of classes and splits.
    """
    rows = []
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        for split in SPLITS:
            labels = cohort.of(split)[column]
            known, positives = int((labels != UNKNOWN).sum()), int((labels == 1).sum())
            share = positives / known if known else np.nan
            rows.append((name, split, positives, known, share))
    return pd.DataFrame(rows, columns=["finding", "split", "positives", "known", "share"])


def cooccurrence(cohort: Cohort) -> pd.DataFrame:
    """Count the images with both findings of every pair.

    Returns:
        finding, second, images (with both), share (of the images with ``finding``; NaN without
        any). The row of a finding with itself counts its images.
    """
    present = (cohort.records[[*FINDINGS]] == 1).to_numpy(np.int64)
    both = present.T @ present
    rows = [
        (finding, second, int(both[i, j]), both[i, j] / both[i, i] if both[i, i] else np.nan)
        for i, finding in enumerate(FINDINGS)
        for j, second in enumerate(FINDINGS)
    ]
    return pd.DataFrame(rows, columns=["finding", "second", "images", "share"])


def age_pyramid(cohort: Cohort) -> pd.DataFrame:
    """Count images by band of age, sex and split; images without age or sex are not in it.

    Returns:
        age (such as 20–29), first (its first year), sex, split, images.
    """
    known = cohort.records.dropna(subset=["age"])
    known = known[known["sex"].isin(SEXES)]
    first = (known["age"].astype(int).clip(0, OLDEST) // BAND) * BAND
    counts = known.groupby([first.rename("first"), "sex", "split"]).size()
    table = counts.rename("images").reset_index()
    names = [f"{a}+" if a >= OLDEST else f"{a}–{a + BAND - 1}" for a in table["first"]]
    return table.assign(age=names)[["age", "first", "sex", "split", "images"]]


def without_age_or_sex(cohort: Cohort) -> int:
    """Count the images that the age pyramid lacks."""
    records = cohort.records
    return int((records["age"].isna() | ~records["sex"].isin(SEXES)).sum())
