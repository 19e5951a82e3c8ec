"""A table as the pipeline uses it, and the data issues of its file.

An issue is dirt that a rule handles without guessing; what no rule handles is an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from cxr14.errors import quote


class Rule(NamedTuple):
    """A kind of issue in words, what happens (see cxr14.data.issues.ACTIONS), and how."""

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
    """A table as the pipeline uses it, and the data issues of its file.

    Attributes:
        frame: the rows.
        issues: for each rule that applies to this table, the values as the file has them: text,
            indexed by the number of the line. A rule without issues is there, and empty.
        facts: further counts.
        file: the name of the file for the user.
        note: how the file was read, where that had to be decided.
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
    """Yield every issue for :func:`cxr14.data.issues.issue_table`."""
    for table in tables.values():
        for name, values in table.issues.items():
            rule = RULES[name]
            for row, value in values.items():
                detail = f"{quote(value)}: {rule.how}" if value else rule.how
                yield table.file, f"row {row}", rule.issue, rule.action, detail
