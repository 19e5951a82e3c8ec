"""A user's table and its mapping, as NIH's tables and lists."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr14.config.mapping import Mapping
from cxr14.datasets.csv_table import CsvTables, read_csv_tables
from cxr14.datasets.image_table import read_image_table
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.errors import UserError
from cxr14.labels import FINDINGS

COLUMNS = {"columns": {"image": "path", "patient": "who"}, "findings": {"Mass": ["lump"]}}
READERS = COLUMNS | {
    "rows": "box",
    "readers": {"column": "reader", "agree": 2},
    "labels": {"column": "finding"},
    "boxes": {"x": "x1", "y": "y1", "right": "x2", "bottom": "y2"},
}


def mapping_of(*changes: dict[str, object]) -> Mapping:
    merged: dict[str, object] = dict(COLUMNS)
    for change in changes:
        merged |= change
    return Mapping.model_validate(merged)


def convert(tmp_path: Path, text: str, mapping: Mapping, uncertain: str = "zeros") -> CsvTables:
    (tmp_path / "mine.csv").write_text(text)
    return read_csv_tables(tmp_path / "mine.csv", "mine.csv", mapping, uncertain)


def labels_of(converted: CsvTables) -> dict[str, str]:
    table = pd.read_csv(io.BytesIO(converted.contents[IMAGE_TABLE]), dtype=str)
    return dict(zip(table["Image Index"], table["Finding Labels"], strict=True))


def met(converted: CsvTables) -> list[tuple[str, ...]]:
    return [tuple(issue) for issue in converted.issues]


ALL = {"findings": {name: [name] for name in FINDINGS}, "labels": {"column": "y", "separator": ";"}}


def test_names_are_of_files_unless_two_folders_share_one(tmp_path: Path) -> None:
    rows = "path,who,lump\na/x.png,1,1\nb/y.jpg,2,0\n"
    assert convert(tmp_path, rows, mapping_of()).files == {"x.png": "a/x", "y.png": "b/y"}
    rows = "path,who,lump\na/x.png,1,1\n.\\b\\x.jpg,2,0\n"
    assert convert(tmp_path, rows, mapping_of()).files == {"a_x.png": "a/x", "b_x.png": "b/x"}


def test_patients_keep_whole_numbers_and_are_numbered_otherwise(tmp_path: Path) -> None:
    def patients(*who: str) -> list[int]:
        rows = "".join(f"{n}.png,{name},1\n" for n, name in enumerate(who))
        table = convert(tmp_path, f"path,who,lump\n{rows}", mapping_of()).contents[IMAGE_TABLE]
        return pd.read_csv(io.BytesIO(table))["Patient ID"].tolist()

    assert patients("17", "4", "17") == [17, 4, 17]
    assert patients("p9", "p10", "p9") == [2, 1, 2]
    assert patients("7", "007", "7") == [2, 1, 2]
    assert patients("007", "010", "007") == [7, 10, 7]
    assert patients("4", "1234567890", "4") == [2, 1, 2]


def test_built_cells_take_parts_of_columns_and_the_group_of_a_pattern(tmp_path: Path) -> None:
    columns = {
        "image": {"form": "p{id:.2}/{id}.png"},
        "patient": {"form": "{path}", "pattern": "patient([0-9]+)"},
    }
    rows = "path,id,lump\na/patient7/1.png,1234,1\na/nobody/1.png,5678,0\n"
    converted = convert(tmp_path, rows, mapping_of({"columns": columns}))
    assert converted.files == {"1234.png": "p12/1234"}
    assert met(converted) == [
        ("mine.csv", "row 3", "no image or patient", "skipped", "path is 'a/nobody/1.png'")
    ]


def test_a_finding_that_is_not_named_is_unknown_and_so_is_no_finding(tmp_path: Path) -> None:
    converted = convert(tmp_path, "path,who,lump\nx.png,1,1\ny.png,2,0\n", mapping_of())
    assert converted.classes == ("Mass",)
    (tmp_path / "table.csv").write_bytes(converted.contents[IMAGE_TABLE])
    frame = read_image_table(tmp_path / "table.csv").frame
    assert frame.Mass.tolist() == [1, 0]
    assert frame.Hernia.tolist() == frame.no_finding.tolist() == [-1, -1]
    assert frame.age.isna().all()
    assert frame.sex.tolist() == ["unknown", "unknown"]
    assert np.isnan(frame.original_width).all()


@pytest.mark.parametrize(
    ("uncertain", "expected"), [("zeros", "Other"), ("ones", "Mass"), ("ignore", "Mass?")]
)
def test_uncertain_labels_follow_the_policy_and_are_counted(
    tmp_path: Path, uncertain: str, expected: str
) -> None:
    values = {"1.0": "positive", "0.0": "negative", "-1.0": "uncertain", "": "negative"}
    mapping = mapping_of(
        {"findings": COLUMNS["findings"] | {"No Finding": ["clean"]}, "labels": {"values": values}}
    )
    rows = "path,who,lump,clean\nx.png,1,-1,\ny.png,2,1.0,0\nz.png,3,,1\n"
    converted = convert(tmp_path, rows, mapping, uncertain)
    known = {image: text.split("|") for image, text in labels_of(converted).items()}
    unnamed = {f"{name}?" for name in FINDINGS if name != "Mass"}
    assert set(known["x.png"]) - unnamed == ({expected} if expected != "Other" else set())
    assert set(known["y.png"]) - unnamed == {"Mass"}
    assert set(known["z.png"]) - unnamed == {"No Finding"}
    action = "kept" if uncertain == "ignore" else "changed"
    detail = f"1 of Mass: read by data.uncertain = {uncertain}"
    assert met(converted) == [("mine.csv", "", "uncertain labels", action, detail)]


@given(
    st.lists(st.sets(st.sampled_from([*FINDINGS, "Fracture"]), min_size=1), min_size=1, max_size=5)
)
def test_one_cell_of_labels_keeps_those_of_the_fourteen(
    tmp_path_factory: pytest.TempPathFactory, labels: list[set[str]]
) -> None:
    rows = "".join(f'{n}.png,1,"{"; ".join(sorted(names))}"\n' for n, names in enumerate(labels))
    converted = convert(tmp_path_factory.mktemp("t"), f"path,who,y\n{rows}", mapping_of(ALL))
    texts = list(labels_of(converted).values())
    assert [set(text.split("|")) - {"No Finding"} for text in texts] == [
        names - {"Fracture"} for names in labels
    ]
    # No Finding is none of the fourteen, whatever else the image has.
    assert [text == "No Finding" for text in texts] == [names == {"Fracture"} for names in labels]
    n_others = sum("Fracture" in names for names in labels)
    details = [issue.detail for issue in converted.issues]
    expected = [f"'Fracture' of {n_others} rows: it is none of the classes"] if n_others else []
    assert details == expected


def test_rows_that_cannot_be_read_are_left_out_one_by_one(tmp_path: Path) -> None:
    columns = COLUMNS["columns"] | {"age": "age", "sex": "sex", "split": "part"}
    mapping = mapping_of(
        {"columns": columns, "keep": {"view": ["front"]}, "values": {"split": {"dev": "val"}}}
    )
    rows = (
        "path,who,lump,age,sex,part,view\n"
        "a.png,1,1,40,Female,train,front\n"
        "b.png,2,0,,O,dev,front\n"
        "c.png,3,maybe,50,M,train,front\n"
        "d.png,4,0,50,m,later,front\n"
        "e.png,5,0,old,m,test,front\n"
        "f.png,6,0,50,m,test,side\n"
        ",7,0,50,m,test,front\n"
        "h.png,,0,50,m,test,front\n"
    )
    converted = convert(tmp_path, rows, mapping)
    assert sorted(row[1:] for row in met(converted)) == [
        ("row 3", "sex that cannot be read", "changed", "sex is 'O'"),
        ("row 4", "label that the mapping lacks", "skipped", "lump is 'maybe'"),
        ("row 5", "split that the mapping lacks", "skipped", "part is 'later'"),
        ("row 6", "age that cannot be read", "changed", "age is 'old'"),
        ("row 7", "left out by the mapping", "skipped", "view is 'side'"),
        ("row 8", "no image or patient", "skipped", "path is ''"),
        ("row 9", "no image or patient", "skipped", "who is ''"),
    ]
    assert converted.contents[LISTS[0]] == b"a.png\nb.png\n"  # val is chosen from them
    assert converted.contents[LISTS[1]] == b"e.png\n"
    assert converted.left_out == {"c", "d", "f", "h", ""}
    table = pd.read_csv(io.BytesIO(converted.contents[IMAGE_TABLE]), dtype=str)
    assert table["Patient Gender"].tolist() == ["F", "unknown", "M"]
    assert table["Patient Age"].tolist() == ["40", "unknown", "unknown"]


HEADER = "path,who,reader,finding,x1,y1,x2,y2\n"


def test_a_finding_needs_its_readers_and_keeps_the_boxes_of_all_who_agree(tmp_path: Path) -> None:
    rows = (
        f"{HEADER}a,1,R1,lump,1,2,11,22\na,1,R2,lump,2,2,12,22\na,1,R2,lump,50,50,60,60\n"
        "a,1,R3,none,,,,\n"
        "b,2,R1,lump,1,2,11,22\nb,2,R1,lump,3,3,5,5\nb,2,R2,none,,,,\nb,2,R3,none,,,,\n"
        "c,3,R1,lump,9,9,9,20\nc,3,R2,lump,,,,\n"
    )
    converted = convert(tmp_path, rows, Mapping.model_validate(READERS))
    mass = {image: "Mass" in text.split("|") for image, text in labels_of(converted).items()}
    assert mass == {"a.png": True, "b.png": False, "c.png": True}
    boxes = pd.read_csv(io.BytesIO(converted.contents[BOX_TABLE]))
    assert boxes.to_numpy().tolist() == [
        ["a.png", "Mass", 1, 2, 10, 20],
        ["a.png", "Mass", 2, 2, 10, 20],
        ["a.png", "Mass", 50, 50, 10, 10],
    ]
    assert [issue[1:4] for issue in met(converted)[1:]] == [
        ("row 10", "box without a place or an area", "skipped"),
        ("row 6", "box of too few readers", "skipped"),
        ("row 7", "box of too few readers", "skipped"),
    ]


def test_boxes_of_a_table_of_their_own_are_matched_by_image_and_label(tmp_path: Path) -> None:
    boxes = {"finding": "what", "x": "x", "y": "y", "width": "w", "height": "h"}
    mapping = mapping_of({"boxes": boxes})
    (tmp_path / "boxes.csv").write_text(
        "path,what,x,y,w,h\nx.png,lump,1,2,3,4\nother.png,lump,1,2,3,4\nx.png,bone,1,2,3,4\n"
    )
    (tmp_path / "mine.csv").write_text("path,who,lump\ndeep/x.png,1,1\n")
    given = (tmp_path / "boxes.csv", "boxes.csv")
    converted = read_csv_tables(tmp_path / "mine.csv", "mine.csv", mapping, "zeros", given)
    assert converted.contents[BOX_TABLE].decode().splitlines()[1:] == ["x.png,Mass,1.0,2.0,3.0,4.0"]
    assert [row[:4] for row in met(converted)] == [
        ("boxes.csv", "row 3", "box of no image", "skipped"),
        ("boxes.csv", "row 4", "box of no class", "skipped"),
    ]
    with pytest.raises(UserError, match="does not name its columns; add boxes"):
        read_csv_tables(tmp_path / "mine.csv", "mine.csv", mapping_of(), "zeros", given)


def test_a_box_is_of_no_image_if_several_have_its_name(tmp_path: Path) -> None:
    """Only the name of one file, or a whole path, says which image is meant."""
    boxes = {"finding": "what", "x": "x", "y": "y", "width": "w", "height": "h"}
    (tmp_path / "boxes.csv").write_text(
        "path,what,x,y,w,h\nx.png,lump,1,2,3,4\na/x.png,lump,1,2,3,4\ny.png,lump,1,2,3,4\n"
    )
    (tmp_path / "mine.csv").write_text("path,who,lump\na/x.png,1,1\nb/x.png,2,1\nc/y.png,3,1\n")
    given = (tmp_path / "boxes.csv", "boxes.csv")
    mapping = mapping_of({"boxes": boxes})
    converted = read_csv_tables(tmp_path / "mine.csv", "mine.csv", mapping, "zeros", given)
    lines = converted.contents[BOX_TABLE].decode().splitlines()[1:]
    assert lines == ["a_x.png,Mass,1.0,2.0,3.0,4.0", "c_y.png,Mass,1.0,2.0,3.0,4.0"]
    assert [row[:3] for row in met(converted)] == [("boxes.csv", "row 2", "box of no image")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lump\nx.png,1\n", r"mine.csv, row 1: no column 'who', which the mapping names"),
        ("path,who,lump,lump\nx,1,1,1\n", r"mine.csv, row 1: 2 columns 'lump'"),
        ("path,who,lump\nx.png,1,1,9\n", r"mine.csv, row 2: 4 cells below 3 headings"),
        ("path,who,lump\n", "there is no row below the header"),
        ("", "the file is empty"),
        ("path,who,lump\nx.png,1,?\n", r"no row is left; row 2: label .*\(lump is '\?'\)"),
        (
            "path,who,lump\nx.png,1,1\ny.png,2,0\nx.png,1,0\n",
            "mine.csv, row 4: x.png has another Mass than in row 2; keep one row per image",
        ),
        (
            "path,who,lump\nx.png,1,1\nx.png,2,1\n",
            "mine.csv, row 3: x.png has another patient than in row 2",
        ),
    ],
)
def test_an_unusable_table_is_an_error_with_row_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        convert(tmp_path, text, mapping_of())


def test_rows_that_are_equal_are_read_once(tmp_path: Path) -> None:
    converted = convert(tmp_path, "path,who,lump\nx.png,1,1\nx.png,1,1.0\n", mapping_of())
    assert list(converted.files) == ["x.png"]
    assert [issue[1:4] for issue in met(converted)] == [("row 3", "repeated row", "skipped")]
