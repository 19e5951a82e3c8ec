"""Data issues of tables: counted, and as rows of the one table of issues."""

import pandas as pd

from cxr14.datasets.boxes import read_box_table
from cxr14.datasets.image_table import read_image_table, read_list_table
from cxr14.datasets.issues import ACTIONS, RULES, Table, issue_rows, issue_table


def a_table(**issues: dict[int, str]) -> Table:
    return Table(
        pd.DataFrame({"image": ["a.png", "b.png"]}),
        {rule: pd.Series(values, dtype="str") for rule, values in issues.items()},
        {"ages_with_a_unit": 1},
        "/own/table.csv",
    )


IMAGES = a_table(ages_above_100={3: "414Y", 9: "148"}, repeated_rows={}, blank_lines={4: ""})


def test_counts_name_the_rules_without_issues_too() -> None:
    expected = {"rows": 2, "ages_with_a_unit": 1, "ages_above_100": 2, "repeated_rows": 0}
    assert IMAGES.counts() == expected | {"blank_lines": 1}


def test_there_is_a_row_for_every_issue() -> None:
    table = issue_table("patient-split", issue_rows({"images": IMAGES}))
    assert table.to_numpy()[:, 1:].tolist() == [
        ["/own/table.csv", "row 3", "age above 100", "changed", "'414Y': recorded as missing"],
        ["/own/table.csv", "row 9", "age above 100", "changed", "'148': recorded as missing"],
        ["/own/table.csv", "row 4", "blank line", "skipped", "left out"],
    ]


def test_every_rule_of_every_table_is_explained(table_files, tmp_path) -> None:
    images = read_image_table(table_files[0])
    (tmp_path / "list.txt").write_text("a.png")
    tables = [
        images,
        read_box_table(table_files[1], images.frame),
        read_list_table(tmp_path / "list.txt"),
    ]
    assert set().union(*(table.issues for table in tables)) == set(RULES)
    assert {rule.action for rule in RULES.values()} == set(ACTIONS)
