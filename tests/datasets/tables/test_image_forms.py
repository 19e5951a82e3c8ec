"""A table of images becomes typed columns, in whichever of NIH's forms it is written."""

import numpy as np
import pandas as pd
import pytest

from cxr14.labels import CLASSES, LABEL_COLUMNS, label_matrix
from tests.datasets.tables.written import (
    FORM_2017,
    HEADER,
    V2020,
    image_row,
    image_table,
    images,
    met,
)


def test_a_row_becomes_typed_columns_sorted_by_image(tmp_path):
    table = images(tmp_path, *V2020)
    assert table.image.tolist() == ["00000001_001.png", "00000002_000.png"]
    first = table.iloc[0]
    assert (first.patient, first.follow_up, first.age, first.sex) == (1, 1, 58, "F")
    assert first["view"] == "AP"
    assert (first.original_width, first.original_height) == (2894, 2729)
    assert (table.pixel_spacing_x[1], table.pixel_spacing_y[1]) == (0.171, 0.172)
    assert [name for name in LABEL_COLUMNS if first[name]] == ["Cardiomegaly", "Emphysema"]
    assert table.no_finding.tolist() == [0, 1]
    assert {str(table[name].dtype) for name in LABEL_COLUMNS} == {"uint8"}
    assert table.dtypes[["patient", "follow_up", "age"]].astype(str).tolist() == [
        "int32",
        "int32",
        "Int32",
    ]


@pytest.mark.parametrize("comma", ["", ","])
def test_the_2017_form_gives_the_same_table_as_v2020(tmp_path, comma):
    old = image_table(tmp_path, *FORM_2017, header=HEADER + comma)
    new = image_table(tmp_path, *V2020)
    pd.testing.assert_frame_equal(old.frame, new.frame)
    assert old.counts() == new.counts() | {"ages_with_a_unit": 2}
    assert met(old) == met(new) == {}


def test_both_forms_may_stand_in_one_file(tmp_path):
    table = image_table(tmp_path, FORM_2017[0], V2020[1])
    pd.testing.assert_frame_equal(table.frame, images(tmp_path, *V2020))


def test_the_label_matrix_follows_the_order_of_the_classes(tmp_path):
    table = images(tmp_path, *(image_row(f"{n:03d}.png", f) for n, f in enumerate(CLASSES)))
    matrix = label_matrix(table)
    assert matrix.dtype == np.float32
    assert (matrix == np.eye(15)).all()
