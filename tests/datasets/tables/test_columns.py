"""Columns by their headings: every known form gives one table, and any other is refused."""

import itertools
import random

import pandas as pd
import pytest

from cxr14.datasets.archive_kinds import image_name as file_image_name
from cxr14.datasets.columns import simplified
from cxr14.errors import UserError
from tests.datasets.tables.written import HEADER, V2020, box_table, image_table, images, met, write

KAGGLE = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
NAMES = KAGGLE.split(",")
ROWS = [row.split(",") for row in V2020]


@pytest.mark.parametrize(
    "header",
    [
        KAGGLE,
        HEADER.replace("Gender", "Sex"),
        HEADER.upper(),
        HEADER.replace(" ", "_"),
        "Image Index, Finding Labels ,Follow-up,patient_id,age,sex,view,original width,"
        "original height,pixel spacing x,pixel spacing y",
        HEADER.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"'),
        HEADER.replace("[", "(").replace("]", ")"),
    ],
)
def test_known_spellings_of_the_header_give_the_same_table(tmp_path, header):
    pd.testing.assert_frame_equal(images(tmp_path, *V2020, header=header), images(tmp_path, *V2020))


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_columns_does_not_matter(tmp_path, seed):
    order = random.Random(seed).sample(range(11), 11)
    header = ",".join(NAMES[column] for column in order)
    rows = [",".join(row[column] for column in order) for row in ROWS]
    pd.testing.assert_frame_equal(images(tmp_path, *rows, header=header), images(tmp_path, *V2020))


def test_height_before_width_and_patient_before_follow_up_are_read_right(tmp_path):
    header = (
        "Image Index,Finding Labels,Patient ID,Follow-up #,Patient Age,Patient Gender,View Position"
        ",OriginalImage[Height,Width],OriginalImagePixelSpacing[y,x]"
    )
    row = "00000007_003.png,Mass,7,3,50,F,AP,100,200,0.1,0.2"
    record = images(tmp_path, row, header=header).iloc[0]
    assert (record.patient, record.follow_up) == (7, 3)
    assert (record.original_height, record.original_width) == (100, 200)
    assert (record.pixel_spacing_y, record.pixel_spacing_x) == (0.1, 0.2)


def test_other_columns_are_not_read_and_are_listed(tmp_path):
    """As pandas writes a table with its index and the empty column of 2017's form."""
    header = ",".join(["", *HEADER.split(","), "Unnamed: 11", "Report", "y"])
    rows = [f'{n},{row},,"long, and ""quoted""",3' for n, row in enumerate(V2020)]
    table = image_table(tmp_path, *rows, header=header)
    pd.testing.assert_frame_equal(table.frame, images(tmp_path, *V2020))
    assert table.issues["unused_columns"].tolist() == ["Report", "y"]
    assert table.issues["unused_columns"].index.tolist() == [1, 1]


def test_image_cells_may_hold_folders_and_other_suffixes(tmp_path):
    cells = ["images/00000002_000.png", r"C:\data\images_001\00000001_001.jpg"]
    rows = [",".join([cell, *row[1:]]) for cell, row in zip(cells, ROWS, strict=True)]
    pd.testing.assert_frame_equal(images(tmp_path, *rows), images(tmp_path, *V2020))
    for cell in ("00000002_000", "00000002_000.JPEG", "https://host/a/00000002_000.PNG", "x.dcm"):
        name = images(tmp_path, ",".join([cell, *ROWS[0][1:]])).image[0]
        assert name == ("x.png" if cell == "x.dcm" else "00000002_000.png")


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_column_is_refused_with_both_headers(tmp_path, missing):
    header = KAGGLE.replace(missing, "Something")
    with pytest.raises(UserError) as caught:
        images(tmp_path, *V2020, header=header)
    message = str(caught.value)
    assert f"row 1: no column for {missing}; the header is 'Image Index" in message.replace(
        "'Something", "'Image Index"
    )
    assert f"allowed, in any order: {', '.join(NAMES)};" in message


def test_a_heading_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="'patient_id' is the heading of 2 columns"):
        images(tmp_path, *V2020, header=KAGGLE.replace("Follow-up #", "patient_id"))


def test_a_semicolon_file_with_decimal_commas_gives_the_same_table(tmp_path):
    rows = [";".join(row).replace(".17", ",17").replace(".14", ",14") for row in ROWS]
    header = KAGGLE.replace(",", ";")
    pd.testing.assert_frame_equal(images(tmp_path, *rows, header=header), images(tmp_path, *V2020))
    tabs = [row.replace(";", "\t") for row in rows]
    pd.testing.assert_frame_equal(
        images(tmp_path, *tabs, header=HEADER.replace("y,", "y").replace(",", "\t")),
        images(tmp_path, *V2020),
    )
    header = header.replace("OriginalImageWidth;OriginalImageHeight", "OriginalImage[Width,Height]")
    pd.testing.assert_frame_equal(images(tmp_path, *rows, header=header), images(tmp_path, *V2020))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["0,1", "0.2"], "row 2, pixel_spacing_x: '0,1' has a decimal comma, and row 2, pixel_"),
        (["1,024", "2,048"], "'1,024' may have a decimal comma or one that separates thousands"),
    ],
)
def test_numbers_that_may_mean_two_things_are_refused(tmp_path, numbers, expected):
    row = ";".join([*ROWS[0][:9], *numbers])
    with pytest.raises(UserError, match=expected):
        images(tmp_path, row, header=KAGGLE.replace(",", ";"))


def test_a_decimal_comma_between_commas_is_refused(tmp_path):
    with pytest.raises(UserError, match="pixel_spacing_x: '0,1'; allowed: a number of mm"):
        images(tmp_path, ",".join([*ROWS[0][:9], '"0,1"', "0.2"]))


def test_whole_numbers_with_a_point_as_pandas_writes_them_are_read(tmp_path):
    row = "00000002_000.png,No Finding,0.0,2.0,80.0,M,PA,2500.0,2048.0,0.171,0.172"
    pd.testing.assert_frame_equal(images(tmp_path, row), images(tmp_path, V2020[0]))


@pytest.mark.parametrize(
    "header",
    [
        "Image Index,Finding Label,x,y,w,h",
        "image,finding,x,y,width,height",
        'Image Index,Finding Label,"Bbox [x,y,w,h]"',
        "Image Index,Finding Label,Bbox [x,y,w,h],Unnamed: 6,Unnamed: 7,Unnamed: 8",
    ],
)
def test_known_headers_of_the_list_of_boxes_are_read(tmp_path, header):
    box = box_table(tmp_path, "a.png,Mass,5,6,7,8", header=header).frame.iloc[0]
    assert (box.x, box.y, box.width, box.height) == (5, 6, 7, 8)


def test_boxes_are_read_by_name_in_any_order_and_with_decimal_commas(tmp_path):
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 97):
        names, cells = ["finding", "image", "h", "w", "y", "x"], ["Mass", "a.png", "8,5", *"765"]
        header, row = (";".join(values[n] for n in order) for values in (names, cells))
        box = box_table(tmp_path, row, header=header).frame.iloc[0]
        assert (box.image, box.x, box.y, box.width, box.height) == ("a.png", 5, 6, 7, 8.5)


def test_boxes_given_by_their_corners_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no column for x, y, w, h; the header is .*x_min"):
        box_table(tmp_path, "a.png,Mass,1,2,3,4", header="image,finding,x_min,y_min,x_max,y_max")


def test_a_table_in_windows_1252_is_read_and_the_encoding_listed(tmp_path):
    text = f"{HEADER},Größe\n{V2020[0]},groß\n"
    (tmp_path / "table.csv").write_bytes(text.encode("cp1252"))
    from cxr14.datasets.image_table import read_image_table

    table = read_image_table(tmp_path / "table.csv")
    assert met(table) == {"unused_columns": {1: "Größe"}, "assumed_encoding": {1: "Windows-1252"}}


def test_only_the_part_of_a_bracket_is_known_by_its_end():
    assert simplified("Height]") == "height]"
    assert simplified(" OriginalImage[Width") == simplified("original_image width")


def test_a_header_alone_is_no_table(tmp_path):
    write(tmp_path / "t.csv", KAGGLE, [])
    with pytest.raises(UserError, match="no row below the header"):
        images(tmp_path, header=KAGGLE)


@pytest.mark.parametrize("heading", ['"Reader (name, role)"', '"Patient Age [years, rounded]"'])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_heading_with_a_comma_in_brackets_is_one_column(tmp_path, heading, delimiter):
    """It was split in two, and every box stood one column to the left."""
    names = ["Image Index", heading, "Finding Label", '"Bbox [x,y,w,h]"', "score"]
    cells = ["a.png", '"A, MD"', "Mass", "5", "6", "7", "8", "9"]
    header, row = (delimiter.join(values) for values in (names, cells))
    table = box_table(tmp_path, row, header=header)
    assert table.frame.iloc[0, 2:].tolist() == [5, 6, 7, 8]
    assert table.issues["unused_columns"].tolist() == [heading.strip('"'), "score"]


@pytest.mark.parametrize("form", ["BBOX (X, Y, W, H)", "bbox[x,y,w,h]", "Bbox {x,y,w,h}"])
def test_nihs_joined_heading_of_boxes_is_known_in_any_case_and_bracket(tmp_path, form):
    for written in (form, f'"{form}"'):
        header = f"Image Index,Finding Label,{written}"
        box = box_table(tmp_path, "a.png,Mass,5,6,7,8", header=header).frame.iloc[0]
        assert box.iloc[2:].tolist() == [5, 6, 7, 8]


def test_a_heading_with_a_comma_without_quotes_is_refused_if_rows_have_a_cell_less(tmp_path):
    header = "Image Index,Finding Label,Reader (name, role),x,y,w,h,score"
    rows = ["a.png,Mass,1,5,6,7,8,9", '"b.png",Mass,A,MD,5,6,7,8,9']
    with pytest.raises(UserError, match=r"row 2: 8 cells below 9 headings; 'Reader \(name' may"):
        box_table(tmp_path, *rows, header=header)


def test_rows_that_all_lack_a_cell_are_refused_and_single_ones_may_end_early(tmp_path):
    header = "Image Index,Finding Label,x,y,w,h,score"
    with pytest.raises(UserError, match="row 2: 6 cells below 7 headings; the header is"):
        box_table(tmp_path, "a.png,Mass,6,7,8,9", header=header)
    rows = ["a.png,Mass,5,6,7,8,9", "b.png,Mass,5,6,7,8"]
    assert len(box_table(tmp_path, *rows, header=header).frame) == 2


@pytest.mark.parametrize("corner", ["x2", "Xmax", "bbox_x2", "max_y", "right", "Bottom", "y_max"])
def test_a_width_beside_corners_may_be_the_images_and_is_refused(tmp_path, corner):
    """Width and height of the image were taken for those of the box."""
    header = f"image,finding,x,y,{corner},width,height"
    with pytest.raises(UserError, match=rf"row 1: beside '{corner}', height and width may be of"):
        box_table(tmp_path, "a.png,Mass,1,2,30,1024,1024", header=header)
    header = header.replace("width,height", "w,h")
    assert len(box_table(tmp_path, "a.png,Mass,1,2,30,40,50", header=header).frame) == 1


def test_an_image_cell_is_normalized_as_the_names_of_files_are(tmp_path):
    """macOS writes a letter and its mark; the image then had no file."""
    for cell in ("u\u0308ber.png", "u\u0308ber.jpg", "folder/u\u0308ber.png", "u\u0308ber"):
        name = box_table(tmp_path, f"{cell},Mass,1,2,3,4").frame.image[0]
        assert name == file_image_name("u\u0308ber.png") == "\u00fcber.png"
