"""The official lists of images, and what is odd in one."""

import pytest

from cxr14.data.tables.records import read_list_table
from tests.data.tables.written import image_row, images, met


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_list_is_read_with_or_without_a_final_newline(tmp_path, end):
    (tmp_path / "list.txt").write_bytes(b"a.png\nb.png" + end.encode())
    assert read_list_table(tmp_path / "list.txt").frame.image.tolist() == ["a.png", "b.png"]
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
