"""Readers of the NIH tables and lists, with schemas and data issues.

Form:
  - Columns are read by their headings, in any order (``columns.py``); of encodings and delimiters
    the common ones are read (``cxr14.datasets.text_files``). Image cells may hold folders or
    another suffix. The lists may end without a newline.
  - The form of 2017 writes ages as 058Y, 011M or 024D, v2020 as 58: both become whole years.

Handled by a rule and listed as data issues (``cxr14.datasets.issues.RULES``):
  - Blank lines and rows identical to an earlier one are left out.
  - "Infiltrate" and the like are read as the standard name.
  - Ages above 100 (16 in 2017's table, up to 414) are recorded as missing.
  - A patient with two sexes stays as written.
  - A box partly outside the image is clipped. A box of an image that is not in the table is left
    out, since the full list of boxes may accompany a sample. A box of a finding that the image
    does not have in the table is kept.

Errors that name the row: cells that :mod:`cxr14.datasets.schemas` does not allow, a patient that is
not that of the image's name, rows of one image that differ, and a box entirely outside the image.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.boxes import FileSizes, read_box_table
from cxr14.datasets.columns import (
    IMAGE_HEADINGS,
    MISSING,
    SUFFIX,
    assumed_encoding,
    check,
    expanded,
    image_names,
    read_cells,
    refuse,
    simplified,
)
from cxr14.datasets.issues import Table
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS, RENEW
from cxr14.datasets.text_files import Rows, read_lines, split_rows
from cxr14.errors import UserError, quote
from cxr14.labels import (
    LABEL_COLUMNS,
    multi_hot,
    respelled,
)

NUMBERS = {
    "patient": "int32",
    "follow_up": "int32",
    "original_width": "int32",
    "original_height": "int32",
    "pixel_spacing_x": "float64",
    "pixel_spacing_y": "float64",
}
OLDEST = 100  # years; larger ages are errors
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
        origin: name of the file in errors and issues, such as the user's path; None: `path`.

    Returns:
        One row per image, sorted by image: image, patient, follow_up, age (whole years, Int32,
        missing where above 100), sex (M, F or unknown), view (PA, AP or unknown), original_width
        and original_height (px), pixel_spacing_x and pixel_spacing_y (mm), fourteen finding columns
        and no_finding (uint8, 0 or 1; int8 if a label is unknown, -1).

    Raises:
        UserError: a column is missing, a cell is not allowed, the patient is not that of the
            image's name, rows of one image differ, or there are no rows.
    """
    name = origin or str(path)
    cells = read_cells(path, name, IMAGE_HEADINGS, WHOLE, SPACING)
    text = cells.text
    if text.empty:
        raise UserError(f"{name}: there is no row below the header")
    from cxr14.datasets.schemas import IMAGES

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
        "ages_above_100": text.age[kept & (years > OLDEST) & (text.age != MISSING)],
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
        UserError: the patient differs from the first eight digits of the name.
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
    """Convert ages as written to whole years, MISSING to more than OLDEST; int64 (N,)."""
    ages = ages.replace(MISSING, str(OLDEST + 1))
    numbers = ages.str.rstrip("YMD").astype("int64")
    unit = ages.str[-1]
    years = numbers.where(unit != "M", numbers // 12)
    return years.where(unit != "D", numbers * 4 // DAYS_PER_FOUR_YEARS)


def _typed_images(text: pd.DataFrame, years: pd.Series) -> pd.DataFrame:
    frame = text.drop(columns=["labels", "surplus"])
    for name, dtype in NUMBERS.items():
        codes, distinct = pd.factorize(text[name])  # a third of the time of converting each row
        if MISSING in distinct:
            distinct, dtype = distinct.where(distinct != MISSING, "nan"), "float64"
        frame[name] = distinct.astype(dtype).to_numpy()[codes]
    frame["age"] = years.astype("Int32").mask(years > OLDEST)
    order = ["image", "patient", "follow_up", *list(IMAGE_HEADINGS)[4:]]
    hot = pd.DataFrame(multi_hot(text.labels), index=text.index, columns=list(LABEL_COLUMNS))
    return pd.concat([frame[order], hot], axis=1)


def _repeated(name: str, frame: pd.DataFrame, text: pd.DataFrame) -> pd.Series:
    """Return the mask of rows identical to an earlier one; bool (N,). Refuse rows that differ."""
    repeated_image = frame.image.duplicated()
    if not repeated_image.any():
        return repeated_image
    repeated = frame.duplicated()
    other = frame.index[repeated_image & ~repeated]
    if len(other):
        first_row = pd.Series(frame.index, index=frame.image)[~repeated_image.to_numpy()]
        refuse(name, _disagreeing(text, other, first_row[frame.image[other]].to_numpy()))
    return repeated


def _disagreeing(
    text: pd.DataFrame, later: pd.Index, earlier: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Return the failures of rows that differ from an earlier row of their image."""
    failures = []
    names = np.array(text.columns)
    pairs = zip(text.loc[later].to_numpy(), text.loc[earlier].to_numpy(), earlier, strict=True)
    for values, first, row in pairs:
        where = values != first
        column = f"{', '.join(names[where])} of {values[0]}"
        allowed = f"{quote(', '.join(first[where]))}, as row {row}"
        failures.append((column, ", ".join(values[where]), allowed))
    return pd.DataFrame(failures, columns=["column", "value", "allowed"], index=later)


def _with_two_sexes(frame: pd.DataFrame) -> pd.Series:
    """Return the patients with two sexes, at the first row with the second sex."""
    pairs = frame.loc[frame.sex != MISSING, ["patient", "sex"]].drop_duplicates()
    second = pairs[pairs.patient.duplicated()]
    return "patient " + second.patient.astype("str")


def read_images(path: str | Path, origin: str | None = None) -> pd.DataFrame:
    """Read the table of images; see :func:`cxr14.datasets.image_table.read_image_table`."""
    return read_image_table(path, origin).frame


def read_boxes(path: str | Path, origin: str | None = None) -> pd.DataFrame:
    """Read NIH's ground-truth boxes; see :func:`cxr14.datasets.boxes.read_box_table`."""
    return read_box_table(path, origin=origin).frame


def read_list_table(
    path: str | Path, images: pd.DataFrame | None = None, origin: str | None = None
) -> Table:
    """Read a list of images, one name a line or a table with such a column, and its issues.

    Args:
        path: the list.
        images: the records, or None; names outside of them are left out.
        origin: name of the list in errors and issues; None: `path`.

    Raises:
        UserError: the file is not text, or a line holds more than a name.
    """
    name = origin or str(path)
    content = read_lines(path, name)
    lines = _listed(split_rows(content, name), name)
    names = image_names(lines[lines != ""])
    again = names.duplicated()
    listed = names.isin(set(names) if images is None else set(images.image))
    last = pd.Series(content.lines, range(1, len(content.lines) + 1), dtype="str").str.strip()
    issues = {
        "blank_lines": lines[lines == ""],
        "listed_twice": names[again],
        "image_in_no_table": names[~again & ~listed],
        "no_final_newline": last.tail(0 if content.ended else 1),
        "assumed_encoding": assumed_encoding(content.assumed),
    }
    frame = names[~again & listed].to_frame("image").reset_index(drop=True)
    return Table(frame, issues, {}, name)


def _listed(rows: Rows, name: str) -> pd.Series:
    """Return the cell of each row that names an image, '' for a blank line; indexed by `row`."""
    column = None
    cells, numbers = rows.cells, rows.numbers
    simple = [simplified(cell) for cell in expanded(cells[0])] if cells else []
    heading = next((name for name in IMAGE_HEADINGS["image"] if name in simple), None)
    if heading is not None:
        column, cells, numbers = simple.index(heading), cells[1:], numbers[1:]
    images = []
    for number, row in zip(numbers, cells, strict=True):
        filled = [cell for cell in row if cell] if column is None else row[column : column + 1]
        if len(filled) > 1 or any(SUFFIX.search(cell) for cell in " ".join(filled).split()[:-1]):
            raise UserError(
                f"{name}, row {number}: {quote(rows.delimiter.join(row))}; allowed: one image name "
                f"a line, or a table with a column Image Index; correct the file, then run {RENEW}"
            )
        images.append(filled[0] if filled else "")
    return pd.Series(images, index=pd.Index(numbers, dtype="int64", name="row"), dtype="str")


def read_tables(
    folder: Path,
    lists: bool,
    origins: Mapping[str, str | None] | None = None,
    box_unit: str = "nih",
    file_sizes: FileSizes | None = None,
    nih_boxes: pd.DataFrame | None = None,
) -> dict[str, Table]:
    """Read all tables of data/raw/tables: images, boxes and, if wanted, the official lists.

    Args:
        folder: folder of the files, with the names in :mod:`cxr14.datasets.raw`.
        lists: whether to read the official lists too.
        origins: by these names, the user's paths for errors and issues; else the path in `folder`.
        box_unit: see :func:`cxr14.datasets.boxes.read_box_table`, also for the other two.
        file_sizes: sizes of the image files.
        nih_boxes: NIH's list.

    Raises:
        UserError: a fault that no rule handles; names file, row and allowed values.
    """
    origin = dict(origins or {})
    images = read_image_table(folder / IMAGE_TABLE, origin.get(IMAGE_TABLE))
    boxes = read_box_table(
        folder / BOX_TABLE,
        images.frame,
        origin.get(BOX_TABLE),
        unit=box_unit,
        file_sizes=file_sizes,
        nih_boxes=nih_boxes,
    )
    wanted = [folder / name for name in LISTS] if lists else []
    read = {
        path.stem: read_list_table(path, images.frame, origin.get(path.name)) for path in wanted
    }
    return {"images": images, "boxes": boxes, **read}
