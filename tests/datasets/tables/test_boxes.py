"""The list of boxes: its odd header, boxes that cannot be, and what the table says of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables.written import box_table, boxes, image_row, images, met


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
        ("a.png,Cough,5,6,7,8", "finding: 'Cough'; allowed: Atelectasis, .*, Hernia$"),
        ("a.png,Tumour,5,6,7,8", "finding: 'Tumour'; allowed: Atelectasis"),
        ("a.png,,5,6,7,8", "finding: ''; allowed: Atelectasis"),
        (",Mass,5,6,7,8", "image: ''; allowed: the name of an image"),
        ("a.png,Mass,5,6,7,8,9", "surplus: '9'; allowed: nothing"),
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
