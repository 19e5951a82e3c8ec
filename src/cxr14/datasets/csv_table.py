"""The source `csv`: a user's table and its mapping, as NIH's tables and lists.

A row becomes a row of ``Data_Entry_2017_v2020.csv``; the column `split`, if there is one, the two
official lists; boxes the list of boxes. Everything after `download` is the same as for NIH's files.

- The image's name is that of its file, with the suffix .png. If files in several folders share a
  name (``view1_frontal.jpg`` of CheXpert), it is the whole path, joined by ``_``.
- Patients are numbered by the alphabet, unless all are whole numbers of up to nine digits.
- A class that the mapping does not name is unknown for every image, No Finding too, unless the
  mapping names all fourteen findings.
- Uncertain labels are negatives, positives or unknown (U-Zeros, U-Ones and U-Ignore of Irvin et
  al. 2019, CheXpert, section 4).
- A row without image, patient or readable labels is left out, and is a data issue. So is a sex,
  view, age or size that cannot be read, which is recorded as missing.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.config.mapping import Column, Mapping, labelled
from cxr14.datasets.archive_kinds import Issue
from cxr14.datasets.columns import MISSING, NIH_HEADINGS, image_name
from cxr14.datasets.csv_rows import (
    Rows,
    box_headings,
    file_key,
    headings_of,
    read_text,
    row_boxes,
    separate_boxes,
)
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS, RENEW
from cxr14.errors import UserError, quote
from cxr14.labels import CLASSES, NO_FINDING, UNKNOWN, label_text

Uncertain = Literal["zeros", "ones", "ignore"]
States = npt.NDArray[np.int8]

STATES = {"positive": 1, "negative": 0, "uncertain": UNKNOWN}
POLICY = {"zeros": 0, "ones": 1, "ignore": UNKNOWN}
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
SPLITS = ("train", "val", "test")
NUMBERS = {  # allowed cells of NIH's table
    "follow_up": "[0-9]{1,9}",
    "age": "[0-9]{1,5}[YMD]?",
    "width": "0*[1-9][0-9]{0,5}",
    "height": "0*[1-9][0-9]{0,5}",
}
HEADINGS = {
    **{name: NIH_HEADINGS[name] for name in ("image", "labels", "follow_up", "patient")},
    **{name: NIH_HEADINGS[name] for name in ("age", "sex", "view")},
    **{side: NIH_HEADINGS[f"original_{side}"] for side in ("width", "height")},
    **{f"spacing_{axis}": NIH_HEADINGS[f"pixel_spacing_{axis}"] for axis in "xy"},
}
"""NIH's headings of the columns, in the order of the table."""


@dataclass(frozen=True)
class CsvTables:
    """A user's table as standard tables.

    Attributes:
        contents: bytes of the standard tables and lists, by their names.
        files: path or file name of each image without its suffix, by the image's name.
        left_out: the same of the rows that are left out.
        issues: of the rows.
        classes: those that the table labels.
    """

    contents: dict[str, bytes]
    files: dict[str, str]
    left_out: set[str]
    issues: list[Issue]
    classes: tuple[str, ...]


def read_csv_tables(
    path: Path,
    name: str,
    mapping: Mapping,
    uncertain: Uncertain,
    box_table: tuple[Path, str] | None = None,
) -> CsvTables:
    """Read a user's table, and convert it.

    Args:
        path: the table, .csv or .csv.gz.
        name: its name in errors and issues.
        mapping: its columns and labels.
        uncertain: what uncertain labels become.
        box_table: path and name of a table of boxes, if they are not in the table itself.

    Raises:
        UserError: the table cannot be read, lacks a column, has no usable row, or has rows of one
            image that differ; names file, row and column.
    """
    rows = Rows(read_text(path, name, _columns(mapping)), name)
    keys = rows.cells(mapping.columns.image).map(file_key)  # also of rows that are left out
    _keep(rows, mapping)
    states = _states(rows, mapping, uncertain)
    facts = _facts(rows, mapping)
    facts.insert(0, "image", _image_names(keys[facts.index]))
    images, labels = _combined(rows, facts, states.loc[facts.index], mapping)
    images = images.assign(labels=_label_texts(rows, labels, mapping))
    boxes = row_boxes(rows, facts.image, states, labels.set_axis(images.image), mapping)
    if box_table is not None:
        boxes = separate_boxes(rows, keys[images.index], images.image, mapping, *box_table)
    contents = {
        IMAGE_TABLE: _csv(images[[*HEADINGS]].rename(columns=HEADINGS)),
        BOX_TABLE: _csv(boxes.rename(columns=NIH_HEADINGS)),
    }
    if mapping.columns.split is not None:
        tested = images.split == "test"
        for file, chosen in zip(LISTS, (~tested, tested), strict=True):
            contents[file] = "".join(f"{image}\n" for image in images.image[chosen]).encode()
    files = dict(zip(images.image, keys[images.index], strict=True))
    left_out = set(keys) - set(files.values())
    return CsvTables(contents, files, left_out, rows.issues, labelled(mapping))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _keep(rows: Rows, mapping: Mapping) -> None:
    """Leave out the rows that the mapping does not keep, and those without image or patient."""
    for heading, allowed in mapping.keep.items():
        cells = rows.text[heading]
        rows.drop(rows.details(heading, ~cells.isin(allowed)), "left out by the mapping")
    columns = mapping.columns
    for column in (columns.image, columns.patient or columns.image):
        cells = rows.cells(column)
        rows.drop(rows.details(column, cells == ""), "no image or patient")


def _columns(mapping: Mapping) -> list[str]:
    """Return the headings of the table that the mapping names."""
    columns = [getattr(mapping.columns, name) for name in type(mapping.columns).model_fields]
    headings = [heading for column in filter(None, columns) for heading in headings_of(column)]
    labels = [name for names in mapping.findings.values() for name in names]
    headings += labels if mapping.labels.column is None else [mapping.labels.column]
    headings += [*mapping.keep, *([mapping.readers.column] if mapping.readers else [])]
    if mapping.rows == "box" and mapping.boxes is not None:
        headings += box_headings(mapping.boxes)
    return headings


def _image_names(keys: pd.Series) -> list[str]:
    """Return the name of each image: its file's, or its path's if files share a name."""
    names = [image_name(f"{key.rpartition('/')[2]}.png") for key in keys]
    if keys.nunique() == len(set(names)):
        return names
    return [image_name(f"{key.strip('/').replace('/', '_')}.png") for key in keys]


def _states(rows: Rows, mapping: Mapping, uncertain: Uncertain) -> pd.DataFrame:
    """Return the label of each row and class of the mapping: 1, 0 or UNKNOWN (int8).

    Rows whose labels cannot be read are left out.
    """
    read = _states_by_column if mapping.labels.column is None else _states_by_cell
    states = read(rows, mapping)
    for name in mapping.findings:
        doubtful = states[name] == UNKNOWN
        if doubtful.any():
            action = "kept" if uncertain == "ignore" else "changed"
            detail = f"{doubtful.sum()} of {name}: read by data.uncertain = {uncertain}"
            rows.issues.append(Issue(rows.name, "", "uncertain labels", action, detail))
    return states.replace(UNKNOWN, POLICY[uncertain])


def _states_by_column(rows: Rows, mapping: Mapping) -> pd.DataFrame:
    """Read a column per label; of several labels of a class the most positive counts."""
    state_of = {_plain(cell): STATES[state] for cell, state in mapping.labels.values.items()}
    headings = [label for labels in mapping.findings.values() for label in labels]
    for heading in headings:
        cells = rows.text[heading]
        bad = cells.isin([cell for cell in cells.unique() if _plain(cell) not in state_of])
        rows.drop(rows.details(heading, bad), "label that the mapping lacks")
    by_heading = {}
    for heading in headings:
        cells = rows.text[heading]
        states_of_cells = {cell: state_of[_plain(cell)] for cell in cells.unique()}
        by_heading[heading] = cells.map(states_of_cells).to_numpy(np.int8)
    states = {}
    for name, labels in mapping.findings.items():
        columns = np.stack([by_heading[label] for label in labels])
        doubtful = np.where((columns == UNKNOWN).any(axis=0), UNKNOWN, 0)
        states[name] = np.where((columns == 1).any(axis=0), 1, doubtful).astype(np.int8)
    return pd.DataFrame(states, rows.text.index)


def _plain(cell: str) -> str:
    """Return a number as pandas writes it (1.0) like others do (1)."""
    return re.sub(r"(?<=\d)\.0+$", "", cell)


def _states_by_cell(rows: Rows, mapping: Mapping) -> pd.DataFrame:
    """Read one column that holds all labels of a row."""
    form, column = mapping.labels, str(mapping.labels.column)
    cells = rows.text[column]
    labels_of = {text: _split_labels(text, form.separator) for text in cells.unique()}
    bad = cells.isin([text for text, labels in labels_of.items() if labels is None])
    rows.drop(rows.details(column, bad), "labels that cannot be read")
    sets = {text: set(labels or ()) for text, labels in labels_of.items()}
    skipped = rows.text[column].isin([t for t, labels in sets.items() if labels & set(form.skip)])
    rows.drop(rows.details(column, skipped), "left out by the mapping")
    _report_other_labels(rows, rows.text[column].map(sets), mapping)
    codes, distinct = pd.factorize(rows.text[column])
    wanted = mapping.findings.items()
    hot = [[not sets[text].isdisjoint(labels) for _, labels in wanted] for text in distinct]
    return pd.DataFrame(
        np.array(hot, np.int8)[codes], rows.text.index, columns=list(mapping.findings)
    )


def _split_labels(text: str, separator: str | None) -> list[str] | None:
    """Return the labels in a cell; None if they cannot be read, or there are none."""
    labels: object = [text]
    if separator == "list":
        try:
            labels = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    elif separator is not None:
        labels = text.split(separator)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return None
    return [label.strip() for label in labels if label.strip()] or None


def _report_other_labels(rows: Rows, labels: pd.Series, mapping: Mapping) -> None:
    """Add an issue for each label that the mapping gives to no class."""
    mapped = {label for names in mapping.findings.values() for label in names}
    counts = Counter(label for names in labels for label in names if label not in mapped)
    for label, count in sorted(counts.items()):
        detail = f"{quote(label)} of {count} rows: it is none of the classes"
        rows.issues.append(Issue(rows.name, "", "label of no class", "kept", detail))


def _facts(rows: Rows, mapping: Mapping) -> pd.DataFrame:
    """Return patient, follow-up, age, sex, view, sizes and split of the rows as text."""
    columns, values = mapping.columns, mapping.values
    table: dict[str, pd.Series] = {}
    if columns.split is not None:
        cells = rows.cells(columns.split)
        bad = ~cells.isin([*SPLITS, *values.split])
        rows.drop(rows.details(columns.split, bad), "split that the mapping lacks")
        table["split"] = rows.cells(columns.split).replace(values.split)
    patients = rows.cells(columns.patient or columns.image)
    table["patient"] = _numbered(patients)
    known = {"sex": _sexes(values.sex), "view": {"PA": "PA", "AP": "AP"} | values.view}
    for name in ("follow_up", "age", "sex", "view", "width", "height", "spacing_x", "spacing_y"):
        column: Column | None = getattr(columns, name)
        if column is None:
            default = "0" if name == "follow_up" else MISSING
            table[name] = pd.Series(default, rows.text.index, dtype="str")
            continue
        cells = rows.cells(column)
        read = {cell: known[name].get(cell) if name in known else _number(cell, name)
                for cell in cells.unique()}  # fmt: skip
        missing = cells.map(read).isna()
        odd = rows.details(column, missing & (cells != ""))
        rows.report(odd, f"{name.replace('_', ' ')} that cannot be read")
        table[name] = cells.map(read).where(~missing, "0" if name == "follow_up" else MISSING)
    return pd.DataFrame(table, rows.text.index)


def _sexes(values: dict[str, Literal["M", "F"]]) -> dict[str, str]:
    spellings = [(form(name), sex) for name, sex in SEXES.items()
                 for form in (str, str.upper, str.capitalize)]  # fmt: skip
    return dict(spellings) | dict(values)


def _number(cell: str, name: str) -> str | None:
    """Return the number of a cell in the form of NIH's table; None if there is none."""
    if name in NUMBERS:
        plain = _plain(cell)
        return plain if re.fullmatch(NUMBERS[name], plain) else None
    try:
        millimetres = float(cell)
    except ValueError:
        return None
    return repr(millimetres) if 0 < millimetres < np.inf else None


def _numbered(patients: pd.Series) -> pd.Series:
    """Return whole numbers for patients: their own, else their place in the alphabet from 1.

    Numbers of which two are equal but written differently (7, 007) are no numbers of patients.
    """
    plain = patients.map(_plain)
    if plain.str.fullmatch("[0-9]{1,9}").all() and plain.nunique() == plain.astype(int).nunique():
        return plain
    codes, _ = pd.factorize(patients, sort=True)
    return pd.Series((codes + 1).astype(str), patients.index, dtype="str")


def _combined(
    rows: Rows, table: pd.DataFrame, states: pd.DataFrame, mapping: Mapping
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per image, and its labels.

    Raises:
        UserError: rows of one image differ in a fact, or in a label if a row is an image.
    """
    again = table.image.duplicated()
    if not again.any():
        return table, states
    compared = table if mapping.rows == "box" else table.join(states)
    differing = again & ~compared.duplicated()
    if differing.any():
        later = int(np.argmax(differing))
        first = int(np.argmax(table.image == table.image.iloc[later]))
        columns = compared.columns[(compared.iloc[later] != compared.iloc[first]).to_numpy()]
        raise UserError(
            f"{rows.name}, row {table.index[later]}: {table.image.iloc[later]} has another "
            f"{', '.join(columns)} than in row {table.index[first]}; keep one row per image, or "
            f"set rows: box in the mapping if a row is a box or a reader, then run {RENEW}"
        )
    if mapping.rows == "image":
        rows.drop(rows.details(mapping.columns.image, again), "repeated row")
        return table[~again], states[~again]
    first_rows = table[~again]
    readers = mapping.readers
    reader = rows.text[readers.column] if readers else pd.Series("", table.index)
    by_reader = (states == 1).groupby([table.image, reader]).any()
    positive = by_reader.groupby(level=0).sum() >= (readers.agree if readers else 1)
    doubtful = (states == UNKNOWN).groupby(table.image).any()
    combined = positive.astype(np.int8).mask(~positive & doubtful, UNKNOWN)
    return first_rows, combined.loc[first_rows.image].set_axis(first_rows.index)


def _label_texts(rows: Rows, states: pd.DataFrame, mapping: Mapping) -> list[str]:
    """Return the labels of each image as NIH's table has them, with those that are unknown."""
    findings = [name for name in mapping.findings if name != NO_FINDING]
    unnamed = dict.fromkeys((name for name in CLASSES if name not in labelled(mapping)), UNKNOWN)
    if NO_FINDING in states:
        odd = (states[NO_FINDING] == 1) & (states[findings] == 1).any(axis=1)
        rows.report(pd.Series("the finding counts", states.index[odd]), "No Finding and a finding")
        states = states.assign(**{NO_FINDING: states[NO_FINDING].mask(odd, 0)})

    @cache
    def text_of(values: tuple[int, ...]) -> str:
        labels = dict(zip(states.columns, values, strict=True)) | unnamed
        if NO_FINDING not in labels:  # all fourteen findings are named
            labels[NO_FINDING] = UNKNOWN if UNKNOWN in values and 1 not in values else 0
            labels[NO_FINDING] = labels[NO_FINDING] if any(values) else 1
        return label_text(labels)

    return [text_of(tuple(values)) for values in states.to_numpy().tolist()]
