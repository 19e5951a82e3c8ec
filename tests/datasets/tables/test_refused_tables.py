"""A table of images that cannot be right is refused, and the message says where."""

import pytest

from cxr14.datasets.image_table import read_images
from cxr14.errors import UserError
from tests.datasets.tables.written import HEADER, V2020, image_row, images, write

BAD_CELLS = [
    (0, "image", "", "the name of an image, such as"),
    (3, "patient", "8", "the first eight digits of 00000009_000.png"),
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


def test_rows_of_one_image_that_disagree_name_both_rows_and_the_columns(tmp_path):
    rows = [V2020[1], image_row(), image_row(), image_row(labels="Nodule", view="AP")]
    expected = (
        r"row 5, labels, view of 00000009_000\.png: 'Nodule, AP'; allowed: 'Mass, PA', as row 3"
    )
    with pytest.raises(ValueError, match=expected):
        images(tmp_path, *rows)


def test_a_table_without_its_header_is_refused_instead_of_losing_a_row(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"row 1: '00000002_000\.png' is a record; allowed: the header Image Index, Finding",
    ):
        images(tmp_path, V2020[1], header=V2020[0])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a.png," * 20], "11 values are not allowed"),
        (["a.png,Mass"], "row 2: 2 cells below 11 headings"),
        ([], "no row below the header"),
        (["", ""], "no row below the header"),
    ],
)
def test_another_table_is_refused_by_name(tmp_path, rows, expected):
    with pytest.raises(ValueError, match=rf"table\.csv(.|\n)*{expected}"):
        images(tmp_path, *rows)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "not the utf-16 text it claims to be"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "this is a PNG image, not a text file"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, content, expected):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"table\.csv: {expected}"):
        read_images(tmp_path / "table.csv")


def test_the_error_names_the_users_own_file_and_the_command_to_run(tmp_path):
    path = write(tmp_path / "copy.csv", HEADER, [image_row(sex="x")])
    with pytest.raises(UserError) as caught:
        read_images(path, "/own/Data_Entry_2017.csv")
    assert str(caught.value) == (
        "/own/Data_Entry_2017.csv: 1 value is not allowed; correct the file, then run "
        "`dvc repro --force download && dvc repro`:\n  row 2, sex: 'x'; allowed: M or F"
    )


def test_a_long_cell_is_cut_in_the_error(tmp_path):
    with pytest.raises(UserError) as caught:
        images(tmp_path, image_row(sex="x" * 50_000))
    assert len(str(caught.value)) < 1000


def test_patient_and_follow_up_number_exchanged_are_refused_with_their_rows(tmp_path):
    header = HEADER.replace("Follow-up #,Patient ID", "Patient ID,Follow-up #")
    rows = [image_row(f"0000000{n}_000.png", patient=n) for n in (3, 4)]
    with pytest.raises(UserError, match=r"2 values(.|\n)*row 2, patient: '0'(.|\n)*row 3"):
        images(tmp_path, *rows, header=header)
