"""Boxes in any unit become pixels of NIH's grid, and a unit that is not clear is refused."""

import numpy as np
import pandas as pd
import pytest

from cxr14.datasets.boxes import boxed_images
from cxr14.datasets.image_table import read_boxes
from cxr14.errors import UserError
from cxr14.io import packaged_file
from tests.datasets.tables.written import box_table, image_row, images, met

NAMES = ["a.png", "b.png"]


def table(tmp_path, width, height):
    """The records of two images with this original size."""
    size = f",{width},{height},"
    rows = [image_row(name).replace(",1024,1024,", size) for name in NAMES]
    return images(tmp_path, *rows)


def read(tmp_path, rows, file, original=(2500, 2048), unit="auto", nih=None):
    """Read boxes of images whose files have one size, or have none."""
    found = [] if file is None else NAMES
    sizes = pd.DataFrame([file] * len(found), index=found, columns=["width", "height"], dtype=float)
    return box_table(
        tmp_path,
        *rows,
        images=table(tmp_path, *original),
        unit=unit,
        file_sizes=lambda names: sizes[sizes.index.isin(names)],
        nih_boxes=nih,
    )


def numbers(read_table):
    return read_table.frame[["x", "y", "width", "height"]].to_numpy().tolist()


PIXELS = ["a.png,Mass,400,300,500,400"]


@pytest.mark.parametrize(
    ("rows", "file", "original", "expected"),
    [
        (PIXELS, (1024, 1024), (2500, 2048), [400, 300, 500, 400]),  # the file is NIH's grid
        (PIXELS, (2048, 2048), (64, 64), [200, 150, 250, 200]),  # larger than NIH's: own pixels
        (PIXELS, (2048, 2048), (2048, 2048), [200, 150, 250, 200]),
        (PIXELS, (64, 64), (64, 64), [400, 300, 500, 400]),  # beyond file and original: NIH's
        (PIXELS, (960, 960), (960, 960), [426.6667, 320, 533.3333, 426.6667]),
        (["a.png,Mass,1500,1024,500,512"], (1024, 1024), (2048, 2048), [750, 512, 250, 256]),
        (["a.png,Mass,1500,1024,500,512"], (512, 512), (2500, 2048), [614.4, 512, 204.8, 256]),
        (["a.png,Mass,0.25,0.5,0.5,0.25"], (1024, 1024), (2500, 2048), [256, 512, 512, 256]),
        (["a.png,Mass,0.25,0.5,0.5,0.25"], (500, 1000), (2500, 2048), [128, 512, 256, 256]),
    ],
)
def test_auto_decides_by_the_sizes_of_file_and_original(tmp_path, rows, file, original, expected):
    np.testing.assert_allclose(numbers(read(tmp_path, rows, file, original)), [expected], 1e-6)


@pytest.mark.parametrize(
    ("rows", "file", "original", "possible"),
    [
        (PIXELS, (960, 960), (2500, 2048), "nih or image or original"),
        (PIXELS, (224, 224), (2500, 2048), "nih or original"),
        (PIXELS, (2048, 2048), (3000, 3000), "image or original"),
        (["a.png,Mass,5000,300,500,400"], (224, 224), (2500, 2048), "fit no image in any unit"),
    ],
)
def test_a_unit_that_is_not_clear_is_refused_with_the_key_and_what_was_found(
    tmp_path, rows, file, original, possible
):
    with pytest.raises(UserError) as caught:
        read(tmp_path, rows, file, original)
    message = str(caught.value)
    assert possible in message
    assert f"the files have up to {file[0]}×{file[1]} pixels" in message
    assert "Set data.boxes in params.yaml to nih (" in message


NIH = pd.DataFrame(
    [("a.png", "Mass", 400.4, 299.6, 500.2, 400.0)],
    columns=["image", "finding", "x", "y", "width", "height"],
)


@pytest.mark.parametrize("file", [(224, 224), (1024, 1024), None])
def test_a_list_with_a_box_of_nihs_is_on_nihs_grid_if_its_others_can_be(tmp_path, file):
    rows = [*PIXELS, "b.png,Nodule,10,20,30,40"]
    result = read(tmp_path, rows, file, nih=NIH)
    assert numbers(result) == [[400, 300, 500, 400], [10, 20, 30, 40]]
    assert result.note == "read in the unit nih (1 of 2 boxes are NIH's own)"


def test_a_list_of_nihs_boxes_alone_is_on_nihs_grid_in_larger_files_too(tmp_path):
    assert numbers(read(tmp_path, PIXELS, (2048, 2048), nih=NIH)) == [[400, 300, 500, 400]]


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("b.png,Nodule,1500,1200,300,400", (2048, 2048)),
        ("b.png,Nodule,10,20,30,40", (2048, 2048)),
        ("b.png,Nodule,1500,1200,300,400", (1024, 1024)),
        ("b.png,Nodule,1500,1200,300,400", None),
        ("b.png,Nodule,900,20,300,40", (512, 512)),
    ],
)
def test_boxes_in_another_unit_beside_one_of_nihs_are_refused(tmp_path, own, file):
    """One box of NIH's decided for all."""
    with pytest.raises(UserError, match=r"not clear.* 1 of the boxes are NIH's own.* data\.boxes"):
        read(tmp_path, [*PIXELS, own], file, nih=NIH)


def test_fractions_beside_a_box_of_nihs_are_refused(tmp_path):
    with pytest.raises(UserError, match="row 3, box"):
        read(tmp_path, [*PIXELS, "b.png,Mass,0.1,0.2,0.3,0.4"], (1024, 1024), nih=NIH)


@pytest.mark.parametrize("file", [(200, 200), (1024, 1024), (2048, 2500)])
def test_boxes_that_may_be_percentages_are_refused_and_a_key_reads_them(tmp_path, file):
    """They were read as pixels of the upper left corner."""
    rows = ["a.png,Mass,25,50,50,25", "b.png,Mass,0.5,10,20,90"]
    with pytest.raises(UserError, match=r"not clear.*percent of width and height.*data\.boxes"):
        read(tmp_path, rows, file)
    assert numbers(read(tmp_path, rows, file, unit="nih"))[0] == [25, 50, 50, 25]


def test_small_boxes_in_small_files_are_no_percentages(tmp_path):
    assert numbers(read(tmp_path, ["a.png,Mass,25,50,50,25"], (100, 128), (100, 128)))[0][0] == 200


@pytest.mark.parametrize(
    ("rows", "file", "why"),
    [
        (PIXELS, (2048, 2048), "image (the files have up to 2048×2048 pixels, so"),
        (["a.png,Mass,0.25,0.5,0.5,0.25"], (64, 64), "fraction (no number is above 1)"),
        (PIXELS, (1024, 1024), "nih (the same positions as in image)"),
    ],
)
def test_the_unit_taken_is_told_with_the_reason(tmp_path, rows, file, why):
    assert read(tmp_path, rows, file, (64, 64)).note.startswith(f"read in the unit {why}")


def test_nihs_own_list_needs_no_file_and_keeps_every_digit(table_files, tables):
    nih = read_boxes(packaged_file("torchxrayvision", "torchxrayvision/data/BBox_List_2017.csv.gz"))
    from cxr14.datasets.boxes import read_box_table

    def never(names: list[str]) -> pd.DataFrame:
        raise AssertionError(names)

    records, boxes = tables
    result = read_box_table(
        table_files[1], records, unit="auto", file_sizes=lambda n: never(n), nih_boxes=nih
    )
    pd.testing.assert_frame_equal(result.frame, boxes)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("nih", [100, 200, 300, 400]),
        ("image", [200, 400, 600, 624]),  # clipped: the file has 512 rows
        ("original", [100 / 2, 200 / 2, 300 / 2, 400 / 2]),
    ],
)
def test_the_key_decides_what_auto_cannot(tmp_path, unit, expected):
    rows = ["a.png,Mass,100,200,300,400"]
    assert numbers(read(tmp_path, rows, (512, 512), (2048, 2048), unit)) == [expected]


def test_of_a_file_that_is_not_square_the_longer_side_is_1024(tmp_path):
    result = read(tmp_path, PIXELS, (1000, 500), unit="image")
    np.testing.assert_allclose(numbers(result), [[409.6, 307.2, 512, 204.8]])


def test_a_box_partly_outside_is_clipped_in_its_own_unit_and_listed(tmp_path):
    result = read(tmp_path, ["a.png,Mass,1900,0,200,100"], (2048, 2048), (64, 64), "image")
    assert numbers(result) == [[950, 0, 74, 50]]
    assert met(result) == {"clipped": {2: "a.png Mass 1900 0 200 100"}}


def test_a_box_wholly_outside_is_refused_with_the_size_of_its_image(tmp_path):
    with pytest.raises(UserError, match=r"row 2, box: .* a box that meets the image of 512×512"):
        read(tmp_path, ["a.png,Mass,600,0,10,10"], (512, 512), unit="image")


def test_fractions_among_pixels_are_refused_with_their_rows(tmp_path):
    rows = [*PIXELS, "b.png,Mass,0.1,0.2,0.3,0.4"]
    with pytest.raises(UserError, match=r"row 3, box: 'b\.png Mass 0\.1 .*; allowed: pixels, as"):
        read(tmp_path, rows, (1024, 1024))


@pytest.mark.parametrize("unit", ["auto", "image", "original", "fraction"])
def test_a_box_of_an_image_without_a_file_is_left_out_and_listed(tmp_path, unit):
    """It was kept with NaN for its place, which no later stage could read."""
    row = "a.png,Mass,0.1,0.1,0.2,0.2" if unit == "fraction" else "a.png,Mass,40,300,500,400"
    result = read(tmp_path, [row], None, unit=unit)
    assert result.frame.empty
    assert met(result) == {"box_without_file": {2: "a.png"}}
    assert boxed_images(result) == {"a.png"}


def test_a_box_on_nihs_grid_needs_no_file(tmp_path):
    assert numbers(read(tmp_path, PIXELS, None, unit="nih")) == [[400, 300, 500, 400]]
