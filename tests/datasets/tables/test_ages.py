"""Ages are whole years whatever their unit, missing above a hundred, or an error."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables.written import (
    V2020,
    image_row,
    image_table,
    images,
    met,
)


@pytest.mark.parametrize(
    ("written", "years"),
    [("58", 58), ("058Y", 58), ("011M", 0), ("024M", 2), ("024D", 0), ("731D", 2), ("000Y", 0)],
)
def test_ages_are_whole_years_whatever_their_unit(tmp_path, written, years):
    table = image_table(tmp_path, image_row(age=written))
    assert table.frame.age.tolist() == [years]
    counted = {"ages_in_months_or_days": {2: written}} if written[-1] in "MD" else {}
    assert met(table) == counted


@settings(deadline=None, max_examples=30)  # the first table read imports Pandera
@given(
    written=st.lists(
        st.tuples(st.integers(0, 99_999), st.sampled_from(["", "Y", "M", "D"]), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_any_age_is_floored_to_years_or_missing_above_a_hundred(tmp_path_factory, written):
    texts = [f"{age:05d}{unit}" if zeros else f"{age}{unit}" for age, unit, zeros in written]
    rows = [image_row(f"{n:02d}.png", age=text) for n, text in enumerate(texts)]
    table = image_table(tmp_path_factory.mktemp("ages"), *rows)
    exact = [age // {"M": 12, "D": 365.25}.get(unit, 1) for age, unit, _ in written]
    expected = [years if years <= 100 else pd.NA for years in exact]
    assert table.frame.age.astype(object).tolist() == expected
    assert table.counts()["ages_above_100"] == sum(years > 100 for years in exact)


def test_an_age_above_a_hundred_is_missing_and_counted_with_its_row(tmp_path):
    rows = [image_row(f"{n}.png", age=age) for n, age in enumerate(["100", "101", "414Y", "95"])]
    table = image_table(tmp_path, *rows)
    assert table.frame.age.astype(object).tolist() == [100, pd.NA, pd.NA, 95]
    assert met(table) == {"ages_above_100": {3: "101", 4: "414Y"}}
    table.frame.to_parquet(tmp_path / "images.parquet")
    assert pd.read_parquet(tmp_path / "images.parquet").age.isna().tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("age", ["", "58X", "young", "-3", "5.5", "058y", "Y"])
def test_an_unreadable_age_names_file_row_and_the_allowed_forms(tmp_path, age):
    expected = (
        rf"table\.csv: 1 value is not allowed; .*\n  row 3, age: '{age}'; allowed: 58, 058Y, 011M"
    )
    with pytest.raises(ValueError, match=expected):
        images(tmp_path, V2020[0], image_row(age=age))
