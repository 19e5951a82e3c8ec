"""What was odd in the tables, counted, listed and told."""

import pandas as pd

from cxr14.data.tables.oddities import RULES, Table, listing, summary


def a_table(**odd: dict[int, str]) -> Table:
    return Table(
        pd.DataFrame({"image": ["a.png", "b.png"]}),
        {rule: pd.Series(values, dtype="str") for rule, values in odd.items()},
        {"ages_with_a_unit": 1},
    )


IMAGES = a_table(ages_above_100={3: "414Y", 9: "148"}, repeated_rows={})
BOXES = a_table(clipped={n: f"box {n}" for n in range(2, 7)})


def test_counts_name_the_rules_that_met_nothing_too() -> None:
    expected = {"rows": 2, "ages_with_a_unit": 1, "ages_above_100": 2, "repeated_rows": 0}
    assert IMAGES.counts() == expected


def test_the_listing_has_a_line_for_everything_odd() -> None:
    table = listing({"images": IMAGES, "boxes": BOXES})
    assert table.to_numpy().tolist()[:3] == [
        ["images", 3, "ages_above_100", "414Y"],
        ["images", 9, "ages_above_100", "148"],
        ["boxes", 2, "clipped", "box 2"],
    ]
    assert len(table) == 7
    assert table.columns.tolist() == ["table", "row", "rule", "value"]


def test_a_listing_of_nothing_has_its_columns() -> None:
    table = listing({"images": a_table(clipped={})})
    assert table.to_csv(index=False).strip() == "table,row,rule,value"


def test_the_summary_tells_what_was_done_and_shows_the_first_three() -> None:
    assert summary({"images": IMAGES, "boxes": BOXES}) == [
        "images: 2 × age above 100, recorded as missing: row 3 '414Y', row 9 '148'",
        "boxes: 5 × box partly outside the image, clipped to it: "
        "row 2 'box 2', row 3 'box 3', row 4 'box 4', …",
    ]


def test_every_rule_of_every_table_is_explained(table_files, tmp_path) -> None:
    from cxr14.data.tables.boxes import read_box_table
    from cxr14.data.tables.images import read_image_table
    from cxr14.data.tables.records import read_list_table

    images = read_image_table(table_files[0])
    (tmp_path / "list.txt").write_text("a.png")
    tables = [
        images,
        read_box_table(table_files[1], images.frame),
        read_list_table(tmp_path / "list.txt"),
    ]
    assert set().union(*(table.odd for table in tables)) == set(RULES)
