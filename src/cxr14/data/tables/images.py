"""The table of images, read by the rules of :mod:`cxr14.data.tables.records`."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.data.tables.label_text import multi_hot, respelled
from cxr14.data.tables.oddities import Table
from cxr14.data.tables.text import check, read_text, refuse, without_blank_lines
from cxr14.errors import UserError
from cxr14.findings import LABEL_COLUMNS

IMAGE_COLUMNS = (
    "image",
    "labels",
    "follow_up",
    "patient",
    "age",
    "sex",
    "view",
    "original_width",
    "original_height",
    "pixel_spacing_x",
    "pixel_spacing_y",
)
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


def read_image_table(path: str | Path) -> Table:
    """Read the table of images, in its 2017 or its v2020 form, and what was odd in it.

    Returns:
        One row per image, sorted by image: image, patient, follow_up, age (whole years, Int32,
        missing where above 100), sex (M or F), view (PA or AP), original_width and
        original_height (px), pixel_spacing_x and pixel_spacing_y (mm), fourteen finding columns
        and no_finding (uint8, 0 or 1).

    Raises:
        UserError: a cell that is not allowed, rows of one image that disagree, or no rows.
    """
    from cxr14.data.tables.schemas import IMAGES

    text, blank = without_blank_lines(read_text(path, IMAGE_COLUMNS, ("surplus",)))
    if text.empty:
        raise UserError(f"{path}: there is no row below the header")
    check(path, text, IMAGES)
    years, unit = _years(text.age), text.age.str[-1]
    frame = _typed_images(text, years)
    kept = ~_repeated(path, frame, text)
    odd = {
        "blank_lines": blank,
        "repeated_rows": text.image[~kept],
        "respelled_labels": text.labels[kept & respelled(text.labels)],
        "ages_in_months_or_days": text.age[kept & unit.isin(["M", "D"])],
        "ages_above_100": text.age[kept & (years > OLDEST)],
        "patients_with_two_sexes": _with_two_sexes(frame),
    }
    with_unit = int((kept & unit.isin(["Y", "M", "D"])).sum())
    sorted_frame = frame[kept].sort_values("image", ignore_index=True)
    return Table(sorted_frame, odd, {"ages_with_a_unit": with_unit})


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
    order = ["image", "patient", "follow_up", *IMAGE_COLUMNS[4:]]
    hot = pd.DataFrame(multi_hot(text.labels), index=text.index, columns=list(LABEL_COLUMNS))
    return pd.concat([frame[order], hot], axis=1)


def _repeated(path: str | Path, frame: pd.DataFrame, text: pd.DataFrame) -> pd.Series:
    """Return which rows are identical to an earlier one; bool (N,). Refuse rows that disagree."""
    again = frame.image.duplicated()
    if not again.any():
        return again
    repeated = frame.duplicated()
    other = frame.index[again & ~repeated]
    if len(other):
        first_row = pd.Series(frame.index, index=frame.image)[~again.to_numpy()]
        refuse(path, _disagreeing(text, other, first_row[frame.image[other]].to_numpy()))
    return repeated


def _disagreeing(
    text: pd.DataFrame, later: pd.Index, earlier: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Describe rows that tell another thing of an image than an earlier row, see `refuse`."""
    failures = []
    names = np.array(text.columns)
    pairs = zip(text.loc[later].to_numpy(), text.loc[earlier].to_numpy(), earlier, strict=True)
    for own, first, row in pairs:
        where = own != first
        column = f"{', '.join(names[where])} of {own[0]}"
        failures.append((column, ", ".join(own[where]), f"{', '.join(first[where])}, as row {row}"))
    return pd.DataFrame(failures, columns=["column", "value", "allowed"], index=later)


def _with_two_sexes(frame: pd.DataFrame) -> pd.Series:
    """Return such patients, at the first row that gives the second sex."""
    pairs = frame[["patient", "sex"]].drop_duplicates()
    second = pairs[pairs.patient.duplicated()]
    return "patient " + second.patient.astype("str")
