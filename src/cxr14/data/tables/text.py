"""A table's text as it stands in the file, and the one error that names what is wrong in it.

Everything is read as text and under the number of its line, so that an error can quote a cell
and name its row as an editor shows it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from cxr14.errors import UserError

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

SHOWN = 10
"""Failures that an error spells out; the others are counted."""


def read_text(path: str | Path, columns: tuple[str, ...], spare: tuple[str, ...]) -> pd.DataFrame:
    """Read a table by position, below its first line, as text.

    Args:
        path: a CSV, possibly compressed (as its name ends).
        columns: names of the columns, in the order of the file.
        spare: names for fields after them; shorter rows are filled with ''.

    Returns:
        All lines below the first, blank ones too (all ''), indexed by `row`: the number of the
        line in the file, 2 for the first row.

    Raises:
        UserError: there is no header, or a row has more fields than there are names.
    """
    names = [*columns, *spare]
    text = {"header": None, "dtype": "str", "keep_default_na": False, "skip_blank_lines": False}
    try:
        first = pd.read_csv(path, nrows=1, **text).iloc[0, 0]  # type: ignore[call-overload]
        table = pd.read_csv(path, skiprows=1, names=names, **text)  # type: ignore[call-overload]
    except ValueError as error:
        raise UserError(f"{path}: not a table of {len(columns)} columns ({error})") from None
    if str(first).lower().endswith(".png"):
        raise UserError(f"{path}, row 1: {first!r} is a record; allowed: the header; put it back")
    if not isinstance(table.index, pd.RangeIndex):  # pandas took surplus fields for an index
        raise UserError(f"{path}, row 2: more than {len(names)} fields")
    table.index = pd.RangeIndex(2, len(table) + 2, name="row")
    return pd.DataFrame(table)


def without_blank_lines(text: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Part a table's text into its rows and its blank lines (empty text)."""
    blank = text.image == ""
    blank[blank] = (text[blank] == "").all(axis=1)
    return text[~blank], text.image[blank]


def check(path: str | Path, text: pd.DataFrame, schema: "DataFrameSchema") -> None:
    """Check a table's text against its schema.

    Raises:
        UserError: a cell is not as its column allows; up to ten of them are quoted.
    """
    from pandera.errors import SchemaErrors

    try:
        schema.validate(text, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.set_index("index")
        cases.columns = cases.columns.str.replace("check", "allowed")
        refuse(path, cases.rename(columns={"failure_case": "value"}))


def refuse(path: str | Path, failures: pd.DataFrame) -> NoReturn:
    """Raise the error of N failures, at least one, sorted by row.

    Args:
        path: the file.
        failures: column, value and allowed (all text), indexed by row.
    """
    failures = failures.sort_index(kind="stable")
    lines = [
        f"row {case.Index}, {case.column}: {case.value!r}; allowed: {case.allowed}"
        for case in failures.head(SHOWN).itertuples()
    ]
    more = [f"and {len(failures) - SHOWN} more"] if len(failures) > SHOWN else []
    found = "1 value is" if len(failures) == 1 else f"{len(failures)} values are"
    raise UserError("\n  ".join([f"{path}: {found} not allowed; mend the file:", *lines, *more]))
