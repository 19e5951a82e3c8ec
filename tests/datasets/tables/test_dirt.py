"""Dirt in a table of images that a rule meets: read all the same, counted, told with its row."""

import pandas as pd
import pytest

from tests.datasets.tables.written import (
    FORM_2017,
    V2020,
    image_row,
    image_table,
    images,
    met,
)


def test_identical_rows_are_read_once_and_counted_with_their_row(tmp_path):
    table = image_table(tmp_path, V2020[0], V2020[1], V2020[0], FORM_2017[0])
    pd.testing.assert_frame_equal(table.frame, images(tmp_path, *V2020))
    assert met(table) == {"repeated_rows": {4: "00000002_000.png", 5: "00000002_000.png"}}


def test_identical_rows_with_a_missing_age_are_identical_too(tmp_path):
    table = image_table(tmp_path, image_row(age="414"), image_row(age="414Y"))
    assert table.frame.age.isna().tolist() == [True]
    assert table.counts()["ages_above_100"] == 1  # of the rows that are kept


def test_a_patient_with_two_sexes_stays_and_is_counted_by_number(tmp_path):
    table = image_table(
        tmp_path,
        image_row("a.png", patient=3, sex="F"),
        image_row("b.png", patient=4, sex="M"),
        image_row("c.png", patient=3, sex="M"),
        image_row("d.png", patient=3, sex="F"),
    )
    assert met(table) == {"patients_with_two_sexes": {4: "patient 3"}}
    assert table.frame.sex.tolist() == ["F", "M", "M", "F"]


def test_another_spelling_is_read_as_the_standard_name_and_counted(tmp_path):
    table = image_table(
        tmp_path,
        image_row("a.png", "Infiltrate"),
        image_row("b.png", "Mass| Pleural Thickening"),
        image_row("c.png", "Mass|Nodule"),
        image_row("d.png", "Nodule|Mass"),
        image_row("e.png", "Mass|Mass"),
    )
    assert table.frame.Infiltration.tolist() == [1, 0, 0, 0, 0]
    assert table.frame.Pleural_Thickening.tolist() == [0, 1, 0, 0, 0]
    respelled = {2: "Infiltrate", 3: "Mass| Pleural Thickening", 6: "Mass|Mass"}
    assert met(table) == {"respelled_labels": respelled}


def test_blank_lines_are_left_out_and_do_not_shift_the_numbers_of_rows(tmp_path):
    table = image_table(tmp_path, V2020[0], "", V2020[1], ",,,,,,,,,,")
    assert len(table.frame) == 2
    assert met(table) == {"blank_lines": {3: "", 5: ""}}
    with pytest.raises(ValueError, match="row 4, age: 'x'"):
        images(tmp_path, V2020[0], "", image_row(age="x"))
