"""How scores and differences are written."""

import pytest

from cxr14.console import format_number, signed, star


def test_a_score_has_no_leading_zero_and_null_is_a_dash():
    assert (format_number(0.5), format_number(1), format_number(None)) == (".500", "1.000", "–")


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
