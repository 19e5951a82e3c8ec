"""The table of images, read by the rules of :mod:`cxr14.data.tables.records`."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.data.tables.cells import check, read_cells, refuse
from cxr14.data.tables.columns import IMAGE_HEADINGS
from cxr14.data.tables.label_text import multi_hot, respelled
from cxr14.data.tables.table import Table
from cxr14.errors import UserError, quote
from cxr14.findings import LABEL_COLUMNS

NUMBERS = {
    "patient": "int32",
    "follow_up": "int32",
    "original_width": "int32",
    "original_height": "int32",
    "pixel_spacing_x": "float64",
    "pixel_spacing_y": "float64",
}
OLDEST = 100  # years; what is above is a slip of the pen
DAYS_PER_FOUR_YEARS = 1461
WHOLE = ("age", "follow_up", "patient", "original_width", "original_height")
SPACING = ("pixel_spacing_x", "pixel_spacing_y")
NIH_NAME = r"([0-9]{8})_[0-9]{3}\.png"
"""In all of NIH's names the first eight digits are the patient. The last three are the follow-up
number in three quarters of them only, so they are not compared."""


def read_image_table(path: str | Path, origin: str | None = None) -> Table:
    """Read the table of images, in its 2017 or its v2020 form, and the issues in it.

    Args:
        path: the file.
        origin: how errors and issues call it, such as the user's path of it; None: `path`.

    Returns:
        One row per image, sorted by image: image, patient, follow_up, age (whole years, Int32,
        missing where above 100), sex (M or F), view (PA or AP), original_width and
        original_height (px), pixel_spacing_x and pixel_spacing_y (mm), fourteen finding columns
        and no_finding (uint8, 0 or 1).

    Raises:
        UserError: a column is missing, a cell is not allowed, the patient is not that of the
            image's name, rows of one image disagree, or there are no rows.
    """
    from cxr14.data.tables.schemas import IMAGES

    name = origin or str(path)
    cells = read_cells(path, name, IMAGE_HEADINGS, WHOLE, SPACING)
    text = cells.text
    if text.empty:
        raise UserError(f"{name}: there is no row below the header")
    check(name, text, IMAGES)
    _check_patients(name, text)
    years, unit = _years(text.age), text.age.str[-1]
    frame = _typed_images(text, years)
    kept = ~_repeated(name, frame, text)
    issues = {
        "blank_lines": cells.blank,
        "repeated_rows": text.image[~kept],
        "respelled_labels": text.labels[kept & respelled(text.labels)],
        "ages_in_months_or_days": text.age[kept & unit.isin(["M", "D"])],
        "ages_above_100": text.age[kept & (years > OLDEST)],
        "patients_with_two_sexes": _with_two_sexes(frame),
        "unused_columns": cells.unused,
        "assumed_encoding": cells.assumed,
    }
    with_unit = int((kept & unit.isin(["Y", "M", "D"])).sum())
    sorted_frame = frame[kept].sort_values("image", ignore_index=True)
    return Table(sorted_frame, issues, {"ages_with_a_unit": with_unit}, name)


def _check_patients(name: str, text: pd.DataFrame) -> None:
    """Refuse patients that are not those of NIH's image names.

    Raises:
        UserError: naming the rows; a follow-up number in the column of the patient, say.
    """
    digits = text.image.str.extract(f"^{NIH_NAME}$", expand=False).dropna()
    named = digits.astype("int64")
    wrong = named.index[named.to_numpy() != text.patient[named.index].astype("int64").to_numpy()]
    if len(wrong):
        allowed = "the first eight digits of " + text.image[wrong]
        refuse(
            name,
            pd.DataFrame({"column": "patient", "value": text.patient[wrong], "allowed": allowed}),
        )


def _years(ages: pd.Series) -> pd.Series:
    """Turn ages as written into whole years; int64 (N,)."""
    numbers = ages.str.rstrip("YMD").astype("int64")
    unit = ages.str[-1]
    years = numbers.where(unit != "M", numbers // 12)
    return years.where(unit != "D", numbers * 4 // DAYS_PER_FOUR_YEARS)


def _typed_images(text: pd.DataFrame, years: pd.Series) -> pd.DataFrame:
    frame = text.drop(columns=["labels", "surplus"])
    for name, dtype in NUMBERS.items():
        codes, distinct = pd.factorize(text[name])  # a third of the time of converting each row
        frame[name] = distinct.astype(dtype).to_numpy()[codes]
    frame["age"] = years.astype("Int32").mask(years > OLDEST)
    order = ["image", "patient", "follow_up", *list(IMAGE_HEADINGS)[4:]]
    hot = pd.DataFrame(multi_hot(text.labels), index=text.index, columns=list(LABEL_COLUMNS))
    return pd.concat([frame[order], hot], axis=1)


def _repeated(name: str, frame: pd.DataFrame, text: pd.DataFrame) -> pd.Series:
    """Return which rows are identical to an earlier one; bool (N,). Refuse rows that disagree."""
    again = frame.image.duplicated()
    if not again.any():
        return again
    repeated = frame.duplicated()
    other = frame.index[again & ~repeated]
    if len(other):
        first_row = pd.Series(frame.index, index=frame.image)[~again.to_numpy()]
        refuse(name, _disagreeing(text, other, first_row[frame.image[other]].to_numpy()))
    return repeated


def _disagreeing(
    text: pd.DataFrame, later: pd.Index, earlier: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Describe rows that differ from an earlier row of their image, see `refuse`."""
    failures = []
    names = np.array(text.columns)
    pairs = zip(text.loc[later].to_numpy(), text.loc[earlier].to_numpy(), earlier, strict=True)
    for own, first, row in pairs:
        where = own != first
        column = f"{', '.join(names[where])} of {own[0]}"
        allowed = f"{quote(', '.join(first[where]))}, as row {row}"
        failures.append((column, ", ".join(own[where]), allowed))
    return pd.DataFrame(failures, columns=["column", "value", "allowed"], index=later)


def _with_two_sexes(frame: pd.DataFrame) -> pd.Series:
    """Return such patients, at the first row that gives the second sex."""
    pairs = frame[["patient", "sex"]].drop_duplicates()
    second = pairs[pairs.patient.duplicated()]
    return "patient " + second.patient.astype("str")
