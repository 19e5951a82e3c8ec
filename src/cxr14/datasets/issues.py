"""Data issues: files, rows and images that were skipped, changed or look odd, in one table.

Three stages report issues: download in the listing of files, patient-split in the tables,
preprocess in the pixels. preprocess joins them in data/issues.csv.
external-data reports those of an external set.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cxr14.datasets.raw import RAW_ISSUES, TABLES
from cxr14.errors import printable, quote
from cxr14.io import Kind, read_csv, write_csv

ISSUES = Path("data/issues.csv")
"""All issues of a run, written by preprocess."""

TABLE_ISSUES = Path("data/table_issues.csv")
"""The issues of patient-split."""

LISTING_ISSUES = TABLES / RAW_ISSUES
"""The issues of download."""

ISSUE_COLUMNS = ("stage", "file", "name", "issue", "action", "detail")
"""
stage: download, patient-split, preprocess or external-data.
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
    *(
        "unfinished download",
        "unread data",
        "unreadable",
        "unprintable name",
        "unsupported compression",
    ),
)
"""Issues of the listing behind which an image may be lost: `preprocess.on_error: fail` stops at
them. Others, such as "hidden file" or "repeated", are only listed."""


def issue_table(stage: str, rows: Iterable[tuple[str, str, str, str, str]]) -> pd.DataFrame:
    """Return the issues of one stage as a table of text, columns ISSUE_COLUMNS.

    Characters that a terminal or a CSV file cannot hold are escaped. The rows are (file, name,
    issue, action, detail).
    """
    cells = [(stage, *map(_escaped, row)) for row in rows]
    table = pd.DataFrame(cells, columns=list(ISSUE_COLUMNS), dtype="str")
    assert set(table.action) <= set(ACTIONS), sorted(set(table.action))
    return table


def _escaped(text: str) -> str:
    return text if text.isascii() and text.isprintable() else printable(text).replace("\n", "\\n")


def write_issues(path: Path, *tables: pd.DataFrame) -> None:
    """Write tables of issues into one CSV file, in the order given."""
    write_csv(path, pd.concat(tables, ignore_index=True))


def read_issues(path: Path) -> pd.DataFrame:
    """Read a table of issues; every cell is text."""
    columns: dict[str, Kind] = dict.fromkeys(ISSUE_COLUMNS, "any")
    return read_csv(path, columns, dtype="str", keep_default_na=False)


def unusable_files(issues: pd.DataFrame) -> list[str]:
    """Return a message for every file that an earlier stage could not use."""
    rows = issues[issues.issue.isin(UNUSABLE)]
    names = rows["file"].str.cat(rows["name"], sep="/").str.strip("/")
    return [
        f"{name}: {issue} ({detail})"
        for name, issue, detail in zip(names, rows.issue, rows.detail, strict=True)
    ]


def summarize(issues: pd.DataFrame, path: Path, examples: int = 3) -> list[str]:
    """Return a line for each kind of issue: count, kind, action, first names; and the path."""
    lines = []
    for (kind, action), rows in issues.groupby(["issue", "action"], sort=False):
        names = [
            " ".join(filter(None, pair)) for pair in zip(rows["file"], rows["name"], strict=True)
        ]
        more = ", …" if len(names) > examples else ""
        lines.append(f"{len(rows)} × {kind} ({action}): {', '.join(names[:examples])}{more}")
    return [*lines, f"all {len(issues)} issues: {path}"] if lines else []


# Tables with the data issues of their files. Faults that no rule handles are errors.


class Rule(NamedTuple):
    """Kind of issue, action (one of ACTIONS), and detail."""

    issue: str
    action: str
    how: str


RULES = {
    "blank_lines": Rule("blank line", "skipped", "left out"),
    "repeated_rows": Rule("repeated row", "skipped", "identical to an earlier row"),
    "respelled_labels": Rule("label in another spelling", "changed", "read as the standard name"),
    "ages_in_months_or_days": Rule("age in months or days", "changed", "turned into whole years"),
    "ages_above_100": Rule("age above 100", "changed", "recorded as missing"),
    "patients_with_two_sexes": Rule("patient with two sexes", "kept", "as written"),
    "clipped": Rule("box partly outside the image", "changed", "clipped to the image"),
    "box_without_file": Rule(
        "box of an image without a file", "skipped", "its place depends on the size of the file"
    ),
    "image_in_no_table": Rule("image not in the table", "skipped", "the table does not list it"),
    "label_not_in_table": Rule(
        "box of a finding that the table lacks", "kept", "the table has no such label there"
    ),
    "listed_twice": Rule("image listed twice", "skipped", "read once"),
    "no_final_newline": Rule("no final newline", "kept", "the last line is read"),
    "unused_columns": Rule("column not used", "skipped", "no column of NIH's table"),
    "assumed_encoding": Rule("assumed encoding", "kept", "neither UTF-8 nor a byte-order mark"),
}


@dataclass(frozen=True)
class Table:
    """Table as used by the pipeline, with the data issues of its file.

    Attributes:
        frame: the rows.
        issues: for each rule that applies to this table, the values in the file as text, indexed
            by line number; empty if there are none.
        facts: further counts.
        file: name of the file for the user.
        note: unit of the boxes and the reason for it.
    """

    frame: pd.DataFrame
    issues: dict[str, pd.Series]
    facts: dict[str, int]
    file: str
    note: str = ""

    def counts(self) -> dict[str, int]:
        """Return the number of rows, the further counts, and the issues of each rule."""
        by_rule = {rule: len(values) for rule, values in self.issues.items()}
        return {"rows": len(self.frame)} | self.facts | by_rule


def issue_rows(tables: Mapping[str, Table]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield every issue for :func:`cxr14.datasets.issues.issue_table`."""
    for table in tables.values():
        for name, values in table.issues.items():
            rule = RULES[name]
            for row, value in values.items():
                detail = f"{quote(value)}: {rule.how}" if value else rule.how
                yield table.file, f"row {row}", rule.issue, rule.action, detail
