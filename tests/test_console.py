"""How scores and differences are written."""

import pytest
from rich.table import Table

from cxr14.console import (
    TABLE_WIDTH,
    format_count,
    format_difference,
    format_interval,
    format_limit,
    format_number,
    print_tables,
    signed,
    star,
    tables_as_text,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.8125, ".812"), (1, "1.000"), (0.0, ".000"), (-0.5, "−.500"), (-0.0001, ".000")],
        *[(None, "–"), (NAN, "–"), (10.05, "10.050")],
    ],
)
def test_a_score_has_no_leading_zero_and_null_is_a_dash(value, text):
    assert format_number(value) == text


def test_an_interval_is_left_out_where_there_is_none():
    assert format_interval(0.8, 0.75, 0.85) == ".800\n.750–.850"
    assert format_interval(0.8, 0.75, 0.85, "{} ({}–{})") == ".800 (.750–.850)"
    assert format_interval(0.8, None, NAN) == ".800"
    assert format_interval(None, 0.75, 0.85) == "–"


def test_a_difference_has_its_interval_and_a_star_if_that_leaves_zero_out():
    assert format_difference(0.2, 0.1, 0.3) == "+.200 (+.100 to +.300) *"
    assert format_difference(0.1, -0.1, 0.3) == "+.100 (−.100 to +.300)"
    assert format_difference(0.2, NAN, None) == "+.200 (– to –)"


def test_counts_have_separators_and_limits_no_leading_zero():
    assert (format_count(25_596.0), format_count(NAN), format_count(None, "–")) == (
        "25,596",
        "not trained",
        "–",
    )
    assert (format_limit(0.25), format_limit(0.1), format_limit(1)) == (".25", ".1", "1")


def test_a_table_is_not_cut_where_the_console_is_narrow(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_tables("a" * TABLE_WIDTH)
    assert capsys.readouterr().out == "a" * TABLE_WIDTH + "\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0961, "+.096"),
        (-0.5, "−.500"),
        (-1.5, "−1.500"),
        (0.0, ".000"),
        (-0.0001, ".000"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(value, text):
    """Three copies wrote 0 as +.000, −.000 and .000, and one of them failed at a null."""
    assert signed(value) == text


def test_a_star_marks_intervals_that_leave_zero_out():
    assert (star(0.1, 0.2), star(-0.2, -0.1)) == (" *", " *")
    assert (
        star(-0.1, 0.2),
        star(0.0, 0.0),
        star(float("nan"), float("nan")),
    ) == ("", "", "")


def test_a_table_as_text_has_its_cells_and_no_colours():
    table = Table("model", "AUROC", title="[bold]Test[/]")
    table.add_row("alexnet", ".765")
    text = tables_as_text(table, "after")
    assert "\x1b" not in text
    assert [line.split() for line in text.splitlines() if "alexnet" in line] == [
        ["│", "alexnet", "│", ".765", "│"]
    ]
    assert text.splitlines()[-1] == "after"
    assert not [line for line in text.splitlines() if line != line.rstrip()]
