"""What was odd in the tables: every rule that met something, where, and how often.

An oddity is dirt that a rule can meet without guessing; what a rule cannot meet is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

RULES = {
    "blank_lines": "blank line, left out",
    "repeated_rows": "row identical to an earlier one, left out",
    "respelled_labels": "label in another spelling, read as the standard name",
    "ages_in_months_or_days": "age in months or days, turned into whole years",
    "ages_above_100": "age above 100, recorded as missing",
    "patients_with_two_sexes": "patient with two sexes, left as written",
    "clipped": "box partly outside the image, clipped to it",
    "image_in_no_table": "image that the table does not list, left out",
    "label_not_in_table": "box of a finding that the table does not give its image, kept",
    "listed_twice": "image listed again, read once",
    "no_final_newline": "end without a newline, read all the same",
}
"""Each rule, and what it does with what it meets."""


@dataclass(frozen=True)
class Table:
    """A table as the pipeline uses it, and what was odd in its file.

    Attributes:
        frame: the rows.
        odd: for each rule that applies to this table, what it met as the file has it: text,
            indexed by the number of the line. A rule that met nothing is there, and empty.
        facts: further counts.
    """

    frame: pd.DataFrame
    odd: dict[str, pd.Series]
    facts: dict[str, int]

    def counts(self) -> dict[str, int]:
        """Return the number of rows, the further counts, and how often each rule was met."""
        met = {rule: len(values) for rule, values in self.odd.items()}
        return {"rows": len(self.frame)} | self.facts | met


def listing(tables: Mapping[str, Table]) -> pd.DataFrame:
    """Return every oddity: table, row (the number of the line), rule, value; all but row text."""
    found = [
        pd.DataFrame({"table": name, "row": values.index, "rule": rule, "value": values.array})
        for name, table in tables.items()
        for rule, values in table.odd.items()
    ]
    return pd.concat(found, ignore_index=True)


def summary(tables: Mapping[str, Table], examples: int = 3) -> list[str]:
    """Return a line for each rule that met something: how often, and the first examples."""
    lines = []
    for name, table in tables.items():
        for rule, values in table.odd.items():
            shown = [f"row {row} {value!r}" for row, value in values.head(examples).items()]
            shown += ["…"] if len(values) > examples else []
            if shown:
                lines.append(f"{name}: {len(values)} × {RULES[rule]}: {', '.join(shown)}")
    return lines
