"""The official lists of images, and what is odd in one."""

import pytest

from cxr14.datasets.image_table import read_list_table
from cxr14.errors import UserError
from tests.datasets.tables.written import image_row, images, met


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


NAMES = ["00000001_000.png", "00000002_000.png"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff00000001_000.png\r\n00000002_000.png\r\n".encode(),
        "00000001_000.png\n00000002_000.png\n".encode("utf-16"),
        b"00000001_000.png\r00000002_000.png\r",
        b"Image Index\n00000001_000.png\n00000002_000.png\n",
        b"patient;Image Index;note\n1;00000001_000.png;x\n2;00000002_000.png;\n",
        b"images/00000001_000.png\nC:\\own\\00000002_000.jpg\n",
        b"00000001_000\n00000002_000\n",
        b"'00000001_000.png'\n'00000002_000.png'\n".replace(b"'", b'"'),
        b"00000001_000.png,\n00000002_000.png ,\n",
    ],
)
def test_a_list_is_read_in_any_common_form(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    table = read_list_table(tmp_path / "list.txt")
    assert table.frame.image.tolist() == NAMES
    assert met(table) == {}


@pytest.mark.parametrize(
    ("line", "named"),
    [("00000002_000.png 0 1 0", "00000002_000.png 0 1 0"), ("a.png,b.png", "a.png,b.png")],
)
def test_a_line_that_holds_more_than_a_name_is_refused(tmp_path, line, named):
    (tmp_path / "list.txt").write_text(f"00000001_000.png\n{line}\n")
    with pytest.raises(UserError, match=rf"/own/list\.txt, row 2: '{named}'; allowed: one image"):
        read_list_table(tmp_path / "list.txt", origin="/own/list.txt")


def test_a_list_that_is_a_table_with_joined_headings_is_read_from_its_column(tmp_path):
    """The heading counted as one column, and x was read for the name."""
    text = '"Bbox [x,y,w,h]",Image Index\n1,2,3,4,a.png\n'
    (tmp_path / "list.csv").write_text(text)
    assert read_list_table(tmp_path / "list.csv").frame.image.tolist() == ["a.png"]
