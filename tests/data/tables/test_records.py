"""The shipped tables, their quirks, and the dirt that users bring."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.data.labels import label_matrix
from cxr14.data.tables.boxes import read_box_table
from cxr14.data.tables.images import read_image_table
from cxr14.data.tables.records import read_boxes, read_images, read_list, read_list_table
from cxr14.findings import CLASSES, FINDINGS, LABEL_COLUMNS
from tests.data.tables.written import BOX_HEADER, HEADER, image_row, write
from tests.loaded import loaded

V2020 = [
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.172",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,F,AP,2894,2729,0.143,0.143",
]
FORM_2017 = [
    "00000002_000.png,No Finding,0,2,080Y,M,PA,2500,2048,0.171,0.172,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,F,AP,2894,2729,0.143,0.143,",
]


def image_table(tmp_path, *rows, header=HEADER):
    return read_image_table(write(tmp_path / "table.csv", header, rows))


def images(tmp_path, *rows, header=HEADER):
    return image_table(tmp_path, *rows, header=header).frame


def box_table(tmp_path, *rows, images=None):
    return read_box_table(write(tmp_path / "boxes.csv", BOX_HEADER, rows), images)


def boxes(tmp_path, *rows):
    return read_boxes(write(tmp_path / "boxes.csv", BOX_HEADER, rows))


def met(table):
    """What each rule met, without the rules that met nothing."""
    return {rule: values.to_dict() for rule, values in table.odd.items() if len(values)}


# --- the table of images ---


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


BAD_CELLS = [
    (0, "image", "", "the name of a PNG"),
    (0, "image", "00000009_000.jpg", "the name of a PNG"),
    (1, "labels", "Mass|Tumour", "Atelectasis, .* No Finding stands alone"),
    (1, "labels", "Mass|No Finding", "Atelectasis, .* No Finding stands alone"),
    (1, "labels", "", "Atelectasis"),
    (2, "follow_up", "one", "a whole number, 0 or more"),
    (3, "patient", "-1", "a whole number, 0 or more"),
    (3, "patient", "1.5", "a whole number, 0 or more"),
    (5, "sex", "f", "M or F"),
    (5, "sex", "", "M or F"),
    (6, "view", "LL", "PA or AP"),
    (7, "original_width", "0", "a whole number of pixels, 1 or more"),
    (8, "original_height", "", "a whole number of pixels, 1 or more"),
    (9, "pixel_spacing_x", "0", "a number of mm above 0"),
    (10, "pixel_spacing_y", "inf", "a number of mm above 0"),
    (10, "pixel_spacing_y", "nan", "a number of mm above 0"),
]


@pytest.mark.parametrize(("place", "column", "value", "allowed"), BAD_CELLS)
def test_a_bad_cell_names_its_row_column_value_and_what_is_allowed(
    tmp_path, place, column, value, allowed
):
    cells = image_row().split(",")
    cells[place] = value
    shown = value.replace("|", r"\|")
    expected = rf"row 4, {column}: '{shown}'; allowed: {allowed}"
    with pytest.raises(ValueError, match=expected):
        images(tmp_path, *V2020, ",".join(cells))


def test_a_cell_too_many_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"row 2, surplus: '0\.2'; allowed: nothing; the row has"):
        images(tmp_path, image_row(end=",0.2"))


def test_every_bad_cell_is_counted_and_ten_are_quoted_in_the_order_of_the_file(tmp_path):
    rows = [image_row(f"{n:03d}.png", age="x", sex="x") for n in range(100)]
    with pytest.raises(ValueError, match="200 values are not allowed") as caught:
        images(tmp_path, *rows)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[1].startswith("  row 2, age")
    assert lines[2].startswith("  row 2, sex")
    assert lines[10].startswith("  row 6, sex")
    assert lines[11] == "  and 190 more"


def test_identical_rows_are_read_once_and_counted_with_their_row(tmp_path):
    table = image_table(tmp_path, V2020[0], V2020[1], V2020[0], FORM_2017[0])
    pd.testing.assert_frame_equal(table.frame, images(tmp_path, *V2020))
    assert met(table) == {"repeated_rows": {4: "00000002_000.png", 5: "00000002_000.png"}}


def test_identical_rows_with_a_missing_age_are_identical_too(tmp_path):
    table = image_table(tmp_path, image_row(age="414"), image_row(age="414Y"))
    assert table.frame.age.isna().tolist() == [True]
    assert table.counts()["ages_above_100"] == 1  # of the rows that are kept


def test_rows_of_one_image_that_disagree_name_both_rows_and_the_columns(tmp_path):
    rows = [V2020[1], image_row(), image_row(), image_row(labels="Nodule", view="AP")]
    expected = (
        r"row 5, labels, view of 00000009_000\.png: 'Nodule, AP'; allowed: Mass, PA, as row 3"
    )
    with pytest.raises(ValueError, match=expected):
        images(tmp_path, *rows)


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


def test_a_table_without_its_header_is_refused_instead_of_losing_a_row(tmp_path):
    with pytest.raises(ValueError, match=r"row 1: '00000002_000\.png' is a record; allowed: the"):
        images(tmp_path, V2020[1], header=V2020[0])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a.png," * 20], "row 2: more than 12 fields"),
        (["a.png,Mass", "a.png," * 20], "not a table of 11 columns .*line 3, saw 21"),
        (["a.png,Mass"], "row 2, follow_up: ''; allowed: a whole number"),
        ([], "no row below the header"),
        (["", ""], "no row below the header"),
    ],
)
def test_another_table_is_refused_by_name(tmp_path, rows, expected):
    with pytest.raises(ValueError, match=rf"table\.csv(.|\n)*{expected}"):
        images(tmp_path, *rows)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\x00\xff"])
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"table\.csv: not a table of 11 columns"):
        read_images(tmp_path / "table.csv")


def test_the_label_matrix_follows_the_order_of_the_classes(tmp_path):
    table = images(tmp_path, *(image_row(f"{n:03d}.png", f) for n, f in enumerate(CLASSES)))
    matrix = label_matrix(table)
    assert matrix.dtype == np.float32
    assert (matrix == np.eye(15)).all()


# --- boxes ---


def test_boxes_are_read_from_under_their_header_of_too_many_fields(tmp_path):
    table = box_table(tmp_path, "b.png,Infiltrate,1.5,2,3,4.25", "a.png,Mass,5,6,7,8")
    assert table.frame.to_dict("list") == {
        "image": ["a.png", "b.png"],
        "finding": ["Mass", "Infiltration"],
        "x": [5.0, 1.5],
        "y": [6.0, 2.0],
        "width": [7.0, 3.0],
        "height": [8.0, 4.25],
    }
    assert met(table) == {"respelled_labels": {2: "Infiltrate"}}


def test_boxes_are_read_when_rows_end_in_empty_fields_too(tmp_path):
    assert len(boxes(tmp_path, "a.png,Mass,5,6,7,8,,,")) == 1


def test_a_list_without_boxes_is_a_list(tmp_path):
    assert boxes(tmp_path).empty


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.png,Mass,5,6,0,8", "width: '0'; allowed: a number of pixels above 0"),
        ("a.png,Mass,5,6,7,-8", "height: '-8'; allowed: a number of pixels above 0"),
        ("a.png,Mass,5,6,,8", "width: ''; allowed: a number of pixels above 0"),
        ("a.png,Mass,,6,7,8", "x: ''; allowed: a number of pixels"),
        ("a.png,Mass,5,nan,7,8", "y: 'nan'; allowed: a number of pixels"),
        ("a.png,Mass,5,1e999,7,8", "y: '1e999'; allowed: a number of pixels"),
        ("a.png,Hernia,5,6,7,8", "finding: 'Hernia'; allowed: Atelectasis, .*, Pneumothorax$"),
        ("a.png,Tumour,5,6,7,8", "finding: 'Tumour'; allowed: Atelectasis"),
        ("a.png,,5,6,7,8", "finding: ''; allowed: Atelectasis"),
        (",Mass,5,6,7,8", "image: ''; allowed: the name of a PNG"),
        ("a.png,Mass,5,6,7,8,9", "surplus_1: '9'; allowed: nothing"),
        ("a.png,Mass,1024,6,7,8", "box: 'a.png Mass 1024 6 7 8'; allowed: a box that meets"),
        ("a.png,Mass,5,-9,7,8", "box: 'a.png Mass 5 -9 7 8'; allowed: a box that meets"),
    ],
)
def test_a_box_that_cannot_be_is_named_with_its_row(tmp_path, row, expected):
    """Empty cells used to pass, for NaN is not at most 0."""
    with pytest.raises(ValueError, match=rf"boxes\.csv: 1 value(.|\n)*row 3, {expected}"):
        boxes(tmp_path, "b.png,Mass,5,6,7,8", row)


def test_a_box_partly_outside_is_clipped_and_one_inside_keeps_every_digit(tmp_path):
    table = box_table(
        tmp_path,
        "a.png,Mass,-3,-4,10,20",
        "b.png,Mass,1000.5,900,100,200",
        "c.png,Mass,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661",
        "d.png,Mass,0,0,1024,1024",
    )
    assert table.frame.iloc[:, 2:].to_numpy().tolist() == [
        [0, 0, 7, 16],
        [1000.5, 900, 23.5, 124],
        [225.084745762712, 547.019216763771, 86.7796610169491, 79.1864406779661],
        [0, 0, 1024, 1024],
    ]
    clipped = {2: "a.png Mass -3 -4 10 20", 3: "b.png Mass 1000.5 900 100 200"}
    assert met(table) == {"clipped": clipped}


side = st.floats(-2000, 2000, allow_subnormal=False).map(lambda value: round(value, 3))


@settings(deadline=None, max_examples=40)
@given(x=side, y=side, width=side, height=side)
def test_any_box_is_refused_or_ends_inside_the_image(tmp_path_factory, x, y, width, height):
    folder = tmp_path_factory.mktemp("box")
    meets = min(width, height) > 0 and max(x, y) < 1024 and min(x + width, y + height) > 0
    if not meets:
        with pytest.raises(ValueError, match="row 2, "):
            boxes(folder, f"a.png,Mass,{x},{y},{width},{height}")
        return
    box = boxes(folder, f"a.png,Mass,{x},{y},{width},{height}").iloc[0]
    assert [box.x, box.y] == [max(x, 0), max(y, 0)]
    assert min(box.width, box.height) > 0
    assert max(box.x + box.width, box.y + box.height) <= 1024


def test_boxes_are_held_against_the_table(tmp_path):
    known = images(tmp_path, image_row("a.png", "Mass|Nodule"), image_row("b.png", "Nodule"))
    table = box_table(
        tmp_path,
        "a.png,Mass,5,6,7,8",
        "a.png,Mass,5.0,6,7,8",
        "a.png,Nodule,5,6,7,8",
        "b.png,Mass,5,6,7,8",
        "c.png,Mass,5,6,7,8",
        images=known,
    )
    assert table.frame[["image", "finding"]].to_numpy().tolist() == [
        ["a.png", "Mass"],
        ["a.png", "Nodule"],
        ["b.png", "Mass"],
    ]
    assert met(table) == {
        "repeated_rows": {3: "a.png"},
        "image_in_no_table": {6: "c.png"},
        "label_not_in_table": {5: "b.png Mass 5 6 7 8"},
    }


# --- official lists ---


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_list_is_read_with_or_without_a_final_newline(tmp_path, end):
    (tmp_path / "list.txt").write_bytes(b"a.png\nb.png" + end.encode())
    assert read_list(tmp_path / "list.txt") == ["a.png", "b.png"]
    counted = {"no_final_newline": {2: "b.png"}} if end == "" else {}
    assert met(read_list_table(tmp_path / "list.txt")) == counted


def test_names_listed_again_or_unknown_to_the_table_are_counted_with_their_line(tmp_path):
    known = images(tmp_path, image_row("a.png"), image_row("b.png"))
    (tmp_path / "list.txt").write_text("a.png\nc.png\n\na.png \nb.png\n")
    table = read_list_table(tmp_path / "list.txt", known)
    assert table.frame.image.tolist() == ["a.png", "b.png"]
    assert met(table) == {
        "blank_lines": {3: ""},
        "listed_twice": {4: "a.png"},
        "image_in_no_table": {2: "c.png"},
    }


# --- the files as shipped ---


def test_the_packaged_table_has_the_published_size(tables):
    records, drawn = tables
    assert len(records) == 112_120
    assert records.patient.nunique() == 30_805
    assert int(records.no_finding.sum()) == 60_361
    assert int((records[list(FINDINGS)].sum(axis=1) == 0).sum()) == 60_361
    assert (len(drawn), drawn.image.nunique()) == (984, 880)
    assert drawn.image.isin(records.image).all()
    assert (records.age.max(), int(records.age.isna().sum())) == (95, 0)


def test_the_packaged_tables_hold_no_oddity_but_123_infiltrates(table_files):
    read = read_image_table(table_files[0])
    drawn = read_box_table(table_files[1], read.frame)
    assert met(read) == {}
    assert {rule: len(values) for rule, values in met(drawn).items()} == {"respelled_labels": 123}


def test_pandera_is_loaded_only_when_a_table_is_read():
    """It takes a second to import; --help of a stage need not wait for it."""
    assert loaded(["cxr14.data.tables.records", "stages.train"], ["pandera"]) == set()
