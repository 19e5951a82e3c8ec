"""What stands in a cell: scores with their intervals, counts, limits."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxr14.evaluation.bootstrap import ENDS
from cxr14.wording import shown, signed, star

Row = dict[str, Any]


def number(value: Any) -> float | None:
    """Return a number of a metrics file or a table; None for null and for an empty cell."""
    return None if value is None or pd.isna(value) else float(value)


def interval(value: float | None, low: float | None, high: float | None, between: str = " ") -> str:
    """Format a score with its 95 % interval, apart by ``between``."""
    if value is None or low is None or high is None:
        return shown(value)
    return f"{shown(value)}{between}{shown(low)}–{shown(high)}"


def scored(row: Mapping[str, Any], name: str, between: str = "\n") -> str:
    """Format ``row[name]`` with ``name_low`` and ``name_high``, where there are any."""
    value, low, high = (number(row.get(f"{name}{end}")) for end in ENDS)
    return interval(value, low, high, between)


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """Format a difference with its interval; * marks one whose interval leaves out 0."""
    if value is None or low is None or high is None:
        return signed(value)
    return f"{signed(value)}{star(low, high)}\n{signed(low)} to {signed(high)}"


def count(value: Any) -> str:
    """Format a count; – for null."""
    known = number(value)
    return "–" if known is None else f"{round(known):,}"


def limit_text(limit: float) -> str:
    """Write a limit T: ``.25``, ``.1``."""
    return f"{limit:g}".removeprefix("0")


def spaced(name: str) -> str:
    """Return a finding or a key as words: ``Pleural Thickening``."""
    return name.replace("_", " ")


def text(value: Any) -> str:
    """Return a cell of words; nothing of an empty one."""
    return "" if value is None or pd.isna(value) else str(value)


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table, each by the names of its columns."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def one(table: pd.DataFrame, wanted: Mapping[str, Any]) -> Row:
    """Return the first row with these values; an empty one, whose scores are dashes, if none."""
    rows = table
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return next(iter(rows_of(rows[:1])), {})


def distinct(table: pd.DataFrame, column: str) -> list[Any]:
    """Return the values of a column, in the order of their first appearance."""
    return list(dict.fromkeys(table[column]))
