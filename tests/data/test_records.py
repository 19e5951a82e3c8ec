"""The shipped tables and their quirks."""

import numpy as np
import pytest

from cxr14.data.records import label_matrix, read_boxes, read_images, read_list
from cxr14.findings import CLASSES, FINDINGS, LABEL_COLUMNS

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
V2020 = [
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.172",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,F,AP,2894,2729,0.143,0.143",
]
FORM_2017 = [
    "00000002_000.png,No Finding,0,2,080Y,M,PA,2500,2048,0.171,0.172,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,F,AP,2894,2729,0.143,0.143,",
]
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def images(tmp_path, *rows, header=HEADER):
    return read_images(write(tmp_path / "table.csv", header, rows))


def boxes(tmp_path, *rows):
    return read_boxes(write(tmp_path / "boxes.csv", BOX_HEADER, rows))


def row_with(labels="Mass", age="58", name="00000009_000.png"):
    return f"{name},{labels},0,9,{age},F,PA,1024,1024,0.1,0.1"


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


def test_the_2017_form_gives_the_same_table_as_v2020(tmp_path):
    old = images(tmp_path, *FORM_2017, header=HEADER + ",")
    assert old.equals(images(tmp_path, *V2020))


@pytest.mark.parametrize(
    ("written", "years"),
    [("58", 58), ("058Y", 58), ("011M", 0), ("024M", 2), ("024D", 0), ("000Y", 0), ("414", 414)],
)
def test_ages_are_whole_years_whatever_their_unit(tmp_path, written, years):
    assert images(tmp_path, row_with(age=written)).age.tolist() == [years]


@pytest.mark.parametrize("age", ["", "58X", "young", "-3"])
def test_an_unreadable_age_names_file_row_and_the_allowed_forms(tmp_path, age):
    with pytest.raises(ValueError, match=r"table\.csv, row 3: age .*allowed: 58, 058Y, 011M, 024D"):
        images(tmp_path, V2020[0], row_with(age=age))


def test_infiltrate_is_read_as_infiltration(tmp_path):
    assert images(tmp_path, row_with(labels="Infiltrate")).Infiltration.tolist() == [1]


def test_an_unknown_label_names_file_row_and_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv, row 3: unknown finding 'Tumour'; known: A"):
        images(tmp_path, V2020[0], row_with(labels="Mass|Tumour"))


def test_no_finding_beside_a_finding_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"row 2: 'Mass\|No Finding' is No Finding and a finding"):
        images(tmp_path, row_with(labels="Mass|No Finding"))


def test_an_image_listed_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"1 images are listed twice, first 00000002_000\.png"):
        images(tmp_path, V2020[0], V2020[0])


@pytest.mark.parametrize("row", ["a.png,Mass", "a.png,Mass,0,x,58,F,PA,1,1,0.1,0.1"])
def test_another_table_is_refused_by_name(tmp_path, row):
    with pytest.raises(ValueError, match=r"table\.csv: not the NIH table of 11 columns"):
        images(tmp_path, row)


def test_the_label_matrix_follows_the_order_of_the_classes(tmp_path):
    table = images(tmp_path, *(row_with(f, name=f"{n:03d}.png") for n, f in enumerate(CLASSES)))
    matrix = label_matrix(table)
    assert matrix.dtype == np.float32
    assert (matrix == np.eye(15)).all()


def test_boxes_are_read_from_under_their_header_of_too_many_fields(tmp_path):
    table = boxes(tmp_path, "b.png,Infiltrate,1.5,2,3,4.25", "a.png,Mass,5,6,7,8")
    assert table.to_dict("list") == {
        "image": ["a.png", "b.png"],
        "finding": ["Mass", "Infiltration"],
        "x": [5.0, 1.5],
        "y": [6.0, 2.0],
        "width": [7.0, 3.0],
        "height": [8.0, 4.25],
    }


def test_boxes_are_read_when_rows_end_in_empty_fields_too(tmp_path):
    assert len(boxes(tmp_path, "a.png,Mass,5,6,7,8,,,")) == 1


@pytest.mark.parametrize(
    "row", ["a.png,Mass,5,6,0,8", "a.png,Hernia,5,6,7,8", "a.png,Mass,5,6,,8", "a.png,Mass,,6,7,8"]
)
def test_a_box_without_place_or_area_or_of_an_unboxed_finding_names_its_row(tmp_path, row):
    """Empty cells used to pass, for NaN is not at most 0."""
    with pytest.raises(ValueError, match=r"boxes\.csv, row 3: .*a box needs"):
        boxes(tmp_path, "b.png,Mass,5,6,7,8", row)


@pytest.mark.parametrize("finding", ["Tumour", ""])
def test_a_box_of_an_unknown_finding_names_its_row(tmp_path, finding):
    with pytest.raises(ValueError, match=r"boxes\.csv, row 2: unknown finding"):
        boxes(tmp_path, f"a.png,{finding},5,6,7,8")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_list_is_read_with_or_without_a_final_newline(tmp_path, end):
    (tmp_path / "list.txt").write_text("a.png\nb.png" + end)
    assert read_list(tmp_path / "list.txt") == ["a.png", "b.png"]


def test_the_packaged_table_has_the_published_size(tables):
    records, drawn = tables
    assert len(records) == 112_120
    assert records.patient.nunique() == 30_805
    assert int(records.no_finding.sum()) == 60_361
    assert int((records[list(FINDINGS)].sum(axis=1) == 0).sum()) == 60_361
    assert (len(drawn), drawn.image.nunique()) == (984, 880)
    assert drawn.image.isin(records.image).all()
