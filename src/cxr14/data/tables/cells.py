"""The cells of a user's table as text, and the one error that names what is wrong in them.

Everything is read as text and under the number of its line, so that an error can quote a cell
and name its row as an editor shows it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from cxr14.data.archives.refusals import image_name as file_image_name
from cxr14.data.raw import RENEW
from cxr14.data.tables.columns import (
    expanded,
    find_columns,
    other_columns,
    split_heading,
    tail,
)
from cxr14.data.user_text import Rows, read_lines, split_rows
from cxr14.errors import UserError, quote

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

SHOWN = 10
"""Failures that an error spells out; the others are counted."""

BLOCK = 50_000
"""Rows that are checked at once, so that the failures of a hostile table stay small in memory."""

SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
COMMA_NUMBER = r"-?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?"
THOUSANDS = r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+"


@dataclass(frozen=True)
class Cells:
    """A table's text.

    Attributes:
        text: a column of text for each that was wanted, and `surplus`: what stands below no
            heading. Indexed by `row`, the number of the line in the file. No blank lines.
        blank: the blank lines (empty text, indexed by `row`).
        unused: headings of the columns that are not read, indexed by `row` of the header.
        assumed: the encoding if it is only assumed, indexed by `row` 1; else empty.
    """

    text: pd.DataFrame
    blank: pd.Series
    unused: pd.Series
    assumed: pd.Series


def read_cells(
    path: str | Path,
    name: str,
    headings: Mapping[str, Sequence[str]],
    whole: Collection[str],
    numbers: Collection[str],
) -> Cells:
    """Read the columns of a table by their headings, as text.

    Args:
        path: the file; see :func:`cxr14.data.user_text.read_lines`.
        name: how errors call it.
        headings: what is wanted, see :func:`cxr14.data.tables.columns.find_columns`.
        whole: columns of whole numbers; 58.0 is read as 58.
        numbers: columns of numbers; in a file of semicolons or tabs 0,5 is read as 0.5.

    Raises:
        UserError: the file is no such table.
    """
    content = read_lines(path, name)
    rows = split_rows(content, name)
    if not rows.cells:
        raise UserError(f"{name}: the file is empty; allowed: a table with a header")
    header, first = expanded(rows.cells[0]), rows.numbers[0]
    columns = find_columns(header, headings, f"{name}, row {first}")
    _check_widths(rows, header, name)
    text = _table(rows, columns, tail(header))
    for column in whole:
        text[column] = text[column].str.replace(r"^([0-9]+)\.0+$", r"\1", regex=True)
    if rows.delimiter != ",":
        _read_decimal_commas(text, numbers, name)
    text["image"] = image_names(text["image"])
    blank = (text == "").all(axis=1)
    unused = other_columns(header, columns)
    return Cells(
        text[~blank],
        text.image[blank],
        pd.Series(unused, index=[first] * len(unused), dtype="str"),
        assumed_encoding(content.assumed),
    )


def assumed_encoding(encoding: str) -> pd.Series:
    """Return an encoding that is assumed as an issue of row 1, or no issue for ''."""
    return pd.Series([encoding] if encoding else [], index=[1] if encoding else [], dtype="str")


def _check_widths(rows: Rows, header: Sequence[str], name: str) -> None:
    """Refuse rows that lack a cell which may have shifted the others.

    Single rows may end early, where a program leaves out the empty cells at the end.

    Raises:
        UserError: all rows have fewer cells than there are headings, or one has where a heading
            with a comma was split.
    """
    width, split = tail(header), split_heading(header)
    lengths = [len(row) if any(row) else width for row in rows.cells[1:]]
    short = next((n for n, length in enumerate(lengths) if length < width), None)
    if short is None or (split is None and max(lengths) >= width):
        return
    said = f"; {quote(split)} may be a heading with a comma that lacks its quotes" if split else ""
    raise UserError(
        f"{name}, row {rows.numbers[short + 1]}: {lengths[short]} cells below {width} headings"
        f"{said}; the header is {quote(', '.join(header))}; give each column one heading and each "
        f"row a cell for it, then run {RENEW}"
    )


def _table(rows: Rows, columns: Mapping[str, int], end: int) -> pd.DataFrame:
    """Lay the rows below the header out; missing cells are '' and those from `end` on surplus."""
    width, body = max(columns.values()) + 1, rows.cells[1:]
    padded = [row if len(row) >= width else row + [""] * (width - len(row)) for row in body]
    table = {column: [row[position] for row in padded] for column, position in columns.items()}
    table["surplus"] = [" ".join(filter(None, row[end:])) for row in body]
    index = pd.Index(rows.numbers[1:], dtype="int64", name="row")
    return pd.DataFrame(table, index=index, dtype="str")


def _read_decimal_commas(text: pd.DataFrame, columns: Collection[str], name: str) -> None:
    """Replace decimal commas by points, in place.

    Raises:
        UserError: both are used, or all commas may as well part thousands.
    """
    comma = {one: text[one].str.fullmatch(COMMA_NUMBER) for one in columns}
    found = [text.loc[rows, one] for one, rows in comma.items() if rows.any()]
    if not found:
        return
    first = found[0]
    where = f"{name}, row {first.index[0]}, {first.name}: {quote(first.iloc[0])}"
    point = [text.loc[text[one].str.contains(".", regex=False), one] for one in columns]
    pointed = next((cells for cells in point if len(cells)), None)
    if pointed is not None:
        raise UserError(
            f"{where} has a decimal comma, and row {pointed.index[0]}, {pointed.name}: "
            f"{quote(pointed.iloc[0])} a point; write all numbers in one way, then run {RENEW}"
        )
    if all(cells.str.fullmatch(THOUSANDS).all() for cells in found):
        raise UserError(
            f"{where} may have a decimal comma or one that parts thousands; write numbers with a "
            f"point, then run {RENEW}"
        )
    for one, rows in comma.items():
        text.loc[rows, one] = text.loc[rows, one].str.replace(",", ".", regex=False)


def image_names(cells: pd.Series) -> pd.Series:
    """Return N image cells as NIH writes them: no folders, and .png whatever a copy's suffix is."""
    return pd.Series([image_name(cell) for cell in cells], cells.index, dtype="str")


def image_name(cell: str) -> str:
    r"""Return the name of an image: 00000001_000.png for images\00000001_000.jpg; '' for ''.

    As archives' names: see :func:`cxr14.data.archives.refusals.image_name`.
    """
    base = re.split(r"[/\\]", cell)[-1].strip() if "/" in cell or "\\" in cell else cell
    if not base or (base.endswith(".png") and base.isascii()):
        return base  # nearly all: nothing to do
    return file_image_name(f"{SUFFIX.sub('', base)}.png")


def check(name: str, text: pd.DataFrame, schema: "DataFrameSchema") -> None:
    """Check a table's text against its schema.

    Raises:
        UserError: a cell is not as its column allows; up to ten of them are quoted.
    """
    from pandera.errors import SchemaErrors

    count, failures = 0, []
    for start in range(0, len(text), BLOCK):
        try:
            schema.validate(text[start : start + BLOCK], lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases.set_index("index")
            cases.columns = cases.columns.str.replace("check", "allowed")
            count += len(cases)
            failures.append(cases.sort_index(kind="stable").head(SHOWN))
    if failures:
        refuse(name, pd.concat(failures).rename(columns={"failure_case": "value"}), count)


def refuse(name: str, failures: pd.DataFrame, count: int | None = None) -> NoReturn:
    """Raise the error of failures, at least one, sorted by row.

    Args:
        name: the file.
        failures: column, value and allowed (all text), indexed by row.
        count: how many there are, if not all are given.
    """
    count = count or len(failures)
    failures = failures.sort_index(kind="stable")
    lines = [
        f"row {case.Index}, {case.column}: {quote(case.value)}; allowed: {case.allowed}"
        for case in failures.head(SHOWN).itertuples()
    ]
    more = [f"and {count - SHOWN} more"] if count > SHOWN else []
    found = "1 value is" if count == 1 else f"{count} values are"
    head = f"{name}: {found} not allowed; correct the file, then run {RENEW}:"
    raise UserError("\n  ".join([head, *lines, *more]))
