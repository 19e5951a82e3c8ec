"""Data issues: every file, row or image that was skipped, changed or looks odd, in one table.

Each of the first three stages finds its own: download in the listing of files, patient-split in
the tables, preprocess in the pixels. preprocess joins them in data/issues.csv.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxr14.data.raw import RAW_ISSUES, TABLES
from cxr14.errors import printable
from cxr14.files import Kind, read_csv, write_csv

ISSUES = Path("data/issues.csv")
"""All issues of a run, written by preprocess."""

TABLE_ISSUES = Path("data/table_issues.csv")
"""The issues of patient-split."""

LISTING_ISSUES = TABLES / RAW_ISSUES
"""The issues of download."""

ISSUE_COLUMNS = ("stage", "file", "name", "issue", "action", "detail")
"""
stage: download, patient-split or preprocess.
file: the archive or table, as the user has it; empty for an image that is a file by itself.
name: the member, the image, or `row 17` of a table.
issue: the kind in a few words, the same for all of its kind, such as "repeated" or "truncated".
action: "skipped" (not in the results), "changed" (used, after a correction) or "kept" (used as is).
detail: one sentence on this very item.
"""

ACTIONS = ("skipped", "changed", "kept")

UNUSABLE = (
    *("damaged", "encrypted", "link", "not an archive", "special file", "too deep", "too large"),
    *("compressed image", "nested archive", "no image suffix", "unreadable archive"),
    *("unfinished download", "unread data", "unreadable", "unsafe name", "unsupported compression"),
)
"""Issues of the listing behind which an image may be lost: `preprocess.on_error: fail` stops at
them. Others, such as "hidden file" or "repeated", are only listed."""


def issue_table(stage: str, rows: Iterable[tuple[str, str, str, str, str]]) -> pd.DataFrame:
    """Return the issues of one stage as a table of text, columns ISSUE_COLUMNS.

    What a terminal or a CSV file cannot hold, as names of files may, is escaped.

    Args:
        stage: the stage that found them.
        rows: (file, name, issue, action, detail) of each.
    """
    shown = [(stage, *map(_shown, row)) for row in rows]
    table = pd.DataFrame(shown, columns=list(ISSUE_COLUMNS), dtype="str")
    assert set(table.action) <= set(ACTIONS), sorted(set(table.action))
    return table


def _shown(text: str) -> str:
    return text if text.isascii() and text.isprintable() else printable(text).replace("\n", "\\n")


def write_issues(path: Path, *tables: pd.DataFrame) -> None:
    """Write tables of issues into one CSV file, in the order given."""
    write_csv(path, pd.concat(tables, ignore_index=True))


def read_issues(path: Path) -> pd.DataFrame:
    """Read a table of issues; every cell is text."""
    columns: dict[str, Kind] = dict.fromkeys(ISSUE_COLUMNS, "any")
    return read_csv(path, columns, dtype="str", keep_default_na=False)


def summarize(issues: pd.DataFrame, path: Path, examples: int = 3) -> list[str]:
    """Return a line for each kind of issue: count, kind, action, first names; and where all are.

    Args:
        issues: the table.
        path: the file that holds it, for the last line; without issues there is no line.
        examples: names shown of each kind.
    """
    lines = []
    for (kind, action), rows in issues.groupby(["issue", "action"], sort=False):
        names = [
            " ".join(filter(None, pair)) for pair in zip(rows["file"], rows["name"], strict=True)
        ]
        more = ", …" if len(names) > examples else ""
        lines.append(f"{len(rows)} × {kind} ({action}): {', '.join(names[:examples])}{more}")
    return [*lines, f"all {len(issues)} issues: {path}"] if lines else []
