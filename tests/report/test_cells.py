"""What stands in a cell."""

import pandas as pd
import pytest

from cxr14.report.elements import columns_of, count, difference, first_row, scored


def test_an_empty_cell_of_a_table_is_a_dash():
    row = first_row(pd.DataFrame({"auroc": [None, 0.5], "name": ["a", "b"]}), {"name": "a"})
    assert scored(row, "auroc") == "–"
    assert scored({}, "auroc") == "–"
    assert count(float("nan")) == "–"
    assert count(1234.0) == "1,234"


def test_a_row_that_is_not_there_is_empty():
    assert first_row(pd.DataFrame({"name": ["a"]}), {"name": "b"}) == {}


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((-0.02, -0.04, -0.01), "−.020 *\n−.040 to −.010"),
        ((0.02, -0.01, 0.05), "+.020\n−.010 to +.050"),
        ((0.02, None, None), "+.020"),
        ((None, None, None), "–"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_a_difference_has_its_sign_and_a_star_if_its_interval_leaves_out_zero(ends, text):
    columns = columns_of("auroc")
    assert difference(dict(zip(columns, ends, strict=True)), *columns) == text
