"""The NIH tables as data frames: one row per image, one row per box.

Quirks of the shipped files, met here and nowhere else:
  - ``Data_Entry_2017*.csv``: two headings hold a comma, ``OriginalImage[Width,Height]`` and
    ``OriginalImagePixelSpacing[x,y]``, so columns are read by position; the 2017 form ends each
    row with a comma and writes ages as 058Y, 011M or 024D.
  - ``BBox_List_2017.csv``: a header of nine fields over rows of six; "Infiltrate" stands for
    Infiltration.
  - The official lists do not end in a newline.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.findings import BOXED, FINDINGS, LABEL_COLUMNS, NO_FINDING, canonical

TABLE_COLUMNS = {
    "image": "string",
    "labels": "string",
    "follow_up": "int32",
    "patient": "int32",
    "age": "string",
    "sex": "string",
    "view": "string",
    "original_width": "int32",
    "original_height": "int32",
    "pixel_spacing_x": "float64",
    "pixel_spacing_y": "float64",
}
BOX_COLUMNS = ("image", "finding", "x", "y", "width", "height")
YEARS_PER = {"Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}


def read_images(path: str | Path) -> pd.DataFrame:
    """Read the table of images, in its 2017 or its v2020 form.

    Returns:
        One row per image, sorted by image: image, patient, follow_up, age (whole years), sex,
        view, original_width and original_height (px), pixel_spacing_x and pixel_spacing_y (mm),
        fourteen finding columns and no_finding (uint8, 0 or 1).

    Raises:
        ValueError: an unreadable value, an unknown label, or an image listed twice.
    """
    try:
        table = pd.read_csv(
            path,
            header=None,
            skiprows=1,
            usecols=range(len(TABLE_COLUMNS)),
            names=list(TABLE_COLUMNS),
            dtype=TABLE_COLUMNS,
        )
    except ValueError as error:
        raise ValueError(f"{path}: not the NIH table of 11 columns ({error})") from None
    doubled = table.image[table.image.duplicated()]
    if len(doubled):
        raise ValueError(f"{path}: {len(doubled)} images are listed twice, first {doubled.iloc[0]}")
    frame = table.drop(columns=["labels", "age"])
    frame.insert(0, "patient", frame.pop("patient"))
    frame.insert(0, "image", frame.pop("image"))
    frame.insert(3, "age", _ages(table.age, path))
    labels = pd.DataFrame(_multi_hot(table.labels, path), columns=list(LABEL_COLUMNS))
    frame = pd.concat([frame, labels], axis=1).sort_values("image", ignore_index=True)
    for name in ("image", "sex", "view"):
        frame[name] = frame[name].astype(object).astype("str")
    return frame


def _ages(ages: pd.Series, path: str | Path) -> npt.NDArray[np.int32]:
    parts = ages.str.extract(r"^0*(\d+)([YMD]?)$")
    bad = parts[0].isna()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{path}, row {row + 2}: age {ages[row]!r}; allowed: 58, 058Y, 011M, 024D")
    unit = parts[1].replace("", "Y").map(YEARS_PER).astype(float)
    years = parts[0].to_numpy(float) * unit.to_numpy(float)
    whole: npt.NDArray[np.int32] = np.floor(years + 1e-9).astype(np.int32)
    return whole


def _multi_hot(labels: pd.Series, path: str | Path) -> npt.NDArray[np.uint8]:
    """Turn 'Mass|Nodule' into 15 columns of zeros and ones, in the order of LABEL_COLUMNS."""
    order = {name: column for column, name in enumerate((*FINDINGS, NO_FINDING))}
    hot = np.zeros((len(labels), len(order)), np.uint8)
    for row, text in enumerate(labels):
        for name in str(text).split("|"):
            try:
                hot[row, order[canonical(name)]] = 1
            except ValueError as error:
                raise ValueError(f"{path}, row {row + 2}: {error}") from None
    contradictory = np.flatnonzero(hot[:, -1] & hot[:, :-1].any(axis=1))
    if len(contradictory):
        row = int(contradictory[0])
        raise ValueError(f"{path}, row {row + 2}: {labels[row]!r} is No Finding and a finding")
    return hot


def read_boxes(path: str | Path) -> pd.DataFrame:
    """Read the hand-drawn boxes.

    Returns:
        image, finding (standard spelling), x, y, width, height (float, pixels of the shipped
        1024×1024 image; x and y are the left upper corner), sorted by image, finding and place.

    Raises:
        ValueError: an unknown finding, or a box without area.
    """
    table = pd.read_csv(
        path, header=None, skiprows=1, usecols=range(6), names=list(BOX_COLUMNS)
    ).astype(dict.fromkeys(BOX_COLUMNS[2:], float))
    for row, name in enumerate(table.finding):
        try:
            table.loc[row, "finding"] = canonical(str(name))
        except ValueError as error:
            raise ValueError(f"{path}, row {row + 2}: {error}") from None
    sound = (table.width > 0) & (table.height > 0) & table.x.notna() & table.y.notna()
    empty = np.flatnonzero(~(sound & table.finding.isin(BOXED)))
    if len(empty):
        row = int(empty[0])
        raise ValueError(
            f"{path}, row {row + 2}: {table.loc[row].to_dict()}; a box needs a place, a width and "
            f"height above 0 and one of {', '.join(BOXED)}"
        )
    return table.sort_values(list(BOX_COLUMNS[:4]), ignore_index=True)


def read_list(path: str | Path) -> list[str]:
    """Read an official list: one image name a line, with or without a final newline."""
    return Path(path).read_text().split()


def label_matrix(images: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the labels of a table of N images as float32 (N, 15), in the order of CLASSES."""
    return images[list(LABEL_COLUMNS)].to_numpy(np.float32)
