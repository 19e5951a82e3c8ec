"""Statistics of the records as tidy tables, for the study's figures 1–7.

The study is the 2018–19 course report on ChestX-ray14 that this project implements. With the
official lists and the v2020 table its figures for train-val (86,524 images of 28,008 patients)
come out: 58 % No Finding, 85 % with one label (No Finding counted as one), 56 % of the images of
men, Atelectasis 40 % women and 60 % men. Two statements about age do not:

* The study names 60 the mode. In the v2020 table the most frequent age of train-val is 52 (2,305
  images; 60 has 1,836). Bins of ten years do put the peak there: 51–60 is the fullest (20,893
  images) and ends at 60, though 50–59 holds about as many (20,874). Counts of one year by sex, by
  patient or of No Finding, and five-year bins, never give 60. The table of 2017, the only one at
  the time of the study, has other ages (its first image is 58 years there, 57 in v2020), so its
  mode may differ. Right for the v2020 table: mode 52, fullest ten years 51–60.
* The study's ages end at 94. The v2020 table has one 95, image 00014456_000, also in train-val.
"""

from typing import Any

import numpy as np
import pandas as pd

from cxr14.errors import UserError
from cxr14.labels import CLASSES, LABEL_COLUMNS, NO_FINDING_COLUMN

SEXES = ("F", "M")
AGE_QUANTILES = {"p5": 0.05, "q1": 0.25, "median": 0.5, "q3": 0.75, "p95": 0.95}


def with_split(images: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the records (N rows) with the column `split` of data/split/split.parquet.

    Raises:
        UserError: an image has no split, or has more than one.
    """
    split_of = split.set_index("image")["split"]
    if not split_of.index.is_unique:
        name = split_of.index[split_of.index.duplicated()][0]
        raise UserError(
            f"the split lists image {name} more than once; run `dvc repro --force patient-split`"
        )
    splits = images["image"].map(split_of)
    if splits.isna().any():
        name = images["image"][splits.isna()].iloc[0]
        raise UserError(
            f"{splits.isna().sum()} images of the records are in no split, the first is "
            f"{name}; run `dvc repro --force patient-split`"
        )
    return images.assign(split=splits)


def train_val(records: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of train and val, which the study explores."""
    return records[records["split"].isin(["train", "val"])].reset_index(drop=True)


def label_counts(images: pd.DataFrame) -> "pd.Series[int]":
    """Count the labels of each image, No Finding being one; (N,) integers."""
    return (images[list(LABEL_COLUMNS)] == 1).sum(axis="columns").astype(int)


def findings_text(images: pd.DataFrame) -> "pd.Series[str]":
    """Return the labels of each of N images as the NIH table writes them: ``Mass|Nodule``."""
    labels = images[list(LABEL_COLUMNS)].to_numpy() == 1
    texts = ["|".join(name for name, on in zip(CLASSES, row, strict=True) if on) for row in labels]
    return pd.Series(texts, index=images.index, dtype=str)


def label_distribution(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 1: finding, images, share of the images; most frequent first, ties in class order."""
    counts = [int((images[column] == 1).sum()) for column in LABEL_COLUMNS]
    table = pd.DataFrame({"finding": CLASSES, "images": counts})
    table["share"] = table["images"] / max(len(images), 1)
    return table.sort_values("images", ascending=False, kind="stable", ignore_index=True)


def sex_distribution(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 2: sex, images, share of the images, patients."""
    rows = [(sex, images[images["sex"] == sex]) for sex in SEXES]
    return pd.DataFrame(
        {
            "sex": SEXES,
            "images": [len(rows_of) for _, rows_of in rows],
            "share": [len(rows_of) / max(len(images), 1) for _, rows_of in rows],
            "patients": [rows_of["patient"].nunique() for _, rows_of in rows],
        }
    )


def sex_by_finding(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 3: finding, sex, images, share (of that finding's images; NaN if it has none).

    Two rows a finding, in class order. Images are counted, not patients.
    """
    rows = []
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        sexes = images.loc[images[column] == 1, "sex"]
        counts = {sex: int((sexes == sex).sum()) for sex in SEXES}
        total = sum(counts.values())
        rows += [(name, sex, n, n / total if total else np.nan) for sex, n in counts.items()]
    return pd.DataFrame(rows, columns=["finding", "sex", "images", "share"])


def age_distribution(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 4: age (years, every year from 0 to the oldest), images; without missing ages."""
    counts = np.bincount(images["age"].dropna().to_numpy(np.int64))
    return pd.DataFrame({"age": np.arange(len(counts)), "images": counts})


def age_by_finding(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 5: finding, images, and age quantiles in years (NaN without ages), class order."""
    rows = []
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        ages = images.loc[images[column] == 1, "age"]
        known = ages.dropna().astype(float)
        quantiles = {key: known.quantile(q) for key, q in AGE_QUANTILES.items()}
        rows.append({"finding": name, "images": len(ages), **quantiles})
    return pd.DataFrame(rows)


def fullest_ten_years(images: pd.DataFrame) -> int:
    """Return the upper end of the fullest bin of ten years, 60 for 51–60 (0 for 0)."""
    tens = np.ceil(images["age"].dropna() / 10).astype(int) * 10
    return int(tens.mode().min())


def key_figures(records: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of metrics/eda.json: sizes of the splits, and shares within train-val.

    Args:
        records: all images with the column `split`, see :func:`with_split`.
    """
    studied = train_val(records)
    atelectasis = sex_by_finding(studied).set_index(["finding", "sex"])["share"]["Atelectasis"]
    has_ages = bool(studied["age"].notna().any())
    rows_of = {name: records[records["split"] == name] for name in ("train", "val", "test")}
    return {
        "images": len(records),
        "patients": records["patient"].nunique(),
        "parts": {
            name: {"images": len(rows), "patients": rows["patient"].nunique()}
            for name, rows in rows_of.items()
        },
        "train_val": {
            "images": len(studied),
            "patients": studied["patient"].nunique(),
            "no_finding": (studied[NO_FINDING_COLUMN] == 1).mean(),
            "single_label": (label_counts(studied) == 1).mean(),
            "male": (studied["sex"] == "M").mean(),
            "age_mode": int(studied["age"].mode().min()) if has_ages else None,
            "age_fullest_ten_years": fullest_ten_years(studied) if has_ages else None,
            "age_oldest": int(studied["age"].max()) if has_ages else None,
            "age_missing": int(studied["age"].isna().sum()),
            "atelectasis_female": atelectasis["F"],
            "atelectasis_male": atelectasis["M"],
        },
    }


SAMPLE_COLUMNS = ["findings", "image", "age", "sex", "view"]
"""Of the images of figures 6 and 7: PA views first, then by name, each patient at most once."""


def single_label_samples(images: pd.DataFrame) -> pd.DataFrame:
    """Select the images of figure 6: one with a single label for each of the 15 classes.

    Args:
        images: the records to choose from (of train-val, with pixels).

    Returns:
        findings, image, age, sex, view, in class order; classes without such an image
        are omitted.
    """
    return _one_of_each(images[label_counts(images) == 1], list(CLASSES))


def multi_label_samples(images: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Select the images of figure 7: one for each of the commonest label pairs and triples.

    Args:
        images: the records to choose from (of train-val, with pixels).
        count: number of pairs, and of triples.

    Returns:
        findings, image, age, sex, view; at most 2 × `count` rows.
    """
    texts, counts = findings_text(images), label_counts(images)
    wanted: list[str] = []
    for size in (2, 3):
        frequency = texts[counts == size].value_counts().sort_index()
        wanted += frequency.sort_values(ascending=False, kind="stable").index[:count].tolist()
    return _one_of_each(images[counts > 1], wanted)


def _one_of_each(images: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    ranked = images.assign(findings=findings_text(images), other_view=images["view"] != "PA")
    ranked = ranked.sort_values(["other_view", "image"])
    chosen = ranked.head(0)
    for text in wanted:
        fresh = ~ranked["patient"].isin(chosen["patient"])
        chosen = pd.concat([chosen, ranked[fresh & (ranked["findings"] == text)].head(1)])
    return chosen[SAMPLE_COLUMNS].reset_index(drop=True)
