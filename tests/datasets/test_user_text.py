"""Bytes of a user's file: text in any common encoding, rows at any common delimiter, or an error."""

import codecs
import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr14.datasets import text_files
from cxr14.datasets.text_files import decode, read_lines, split_rows
from cxr14.errors import UserError

TEXT = "Image Index,Bemerkung\na.png,größer\n"
LINES = ["Image Index,Bemerkung", "a.png,größer"]


def cells(text: str) -> list[list[str]]:
    return split_rows(decode(text.encode(), "t.csv"), "t.csv").cells


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    ],
)
def test_encodings_that_are_certain_give_the_same_text(content):
    text = decode(content, "t.csv")
    assert (text.lines, text.assumed, text.ended) == (LINES, "", True)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read_where_the_text_is_ascii(encoding):
    assert decode("a.png\nb.png".encode(encoding), "t.txt").lines == ["a.png", "b.png"]


def test_other_bytes_are_windows_1252_and_said_to_be_assumed():
    text = decode(TEXT.encode("cp1252"), "t.csv")
    assert (text.lines, text.assumed) == (LINES, "Windows-1252")
    assert decode(b"a\x81b", "t.csv").assumed == "Latin-1"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(end):
    assert decode(f"a{end}b{end}".encode(), "t").lines == ["a", "b"]
    assert decode(f"a{end}b".encode(), "t").ended is False


def zipped(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"a", mtime=0), "a gzip file"),
        (zipped("table.csv"), "a zip archive"),
        (zipped("xl/workbook.xml"), "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file"),
        (b"PAR1....PAR1", "a parquet file"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\n<!DOCTYPE html><html>", "an HTML or XML page"),
    ],
)
def test_a_file_of_another_format_is_refused_with_its_format(content, kind):
    with pytest.raises(UserError, match=rf"t\.csv: this is {kind}.*, not a text file; save it as"):
        decode(content, "t.csv")


@pytest.mark.parametrize("content", [b"a\nb\x00c", b"a\nb\x07", b"ok\n\xe4\x1b[2J"])
def test_control_characters_are_refused_with_their_row_and_escaped(content):
    with pytest.raises(UserError, match=r"t\.csv, row 2: holds the control character '\\x"):
        decode(content, "t.csv")


def test_a_mark_that_the_bytes_belie_is_refused():
    with pytest.raises(UserError, match="not the utf-16 text it claims to be"):
        decode(b"\xff\xfea", "t.csv")


def test_what_is_parsed_is_bounded(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="row 2: 100001 characters; a line has at most 100000"):
        decode(b"a\n" + b"x" * 100_001, "t.csv")
    monkeypatch.setattr(text_files, "MAX_LINES", 5)
    with pytest.raises(UserError, match="more than 5 lines"):
        decode(b"\n" * 6, "t.csv")
    monkeypatch.setattr(text_files, "MAX_CELLS", 5)
    with pytest.raises(UserError, match="more than 5 cells"):
        cells("a,b,c,d\n,,,")
    monkeypatch.setattr(text_files, "MAX_BYTES", 10)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(UserError, match=r"bomb\.csv\.gz: more than 10 bytes"):
        read_lines(tmp_path / "bomb.csv.gz")


def test_a_gzip_file_is_read_by_its_name_and_a_damaged_one_is_refused(tmp_path):
    packed = gzip.compress(TEXT.encode())
    (tmp_path / "t.csv.gz").write_bytes(packed)
    assert read_lines(tmp_path / "t.csv.gz").lines == LINES
    for damaged in (packed[:-9], packed[:12] + b"\xff" * 20, b"plain"):
        (tmp_path / "t.csv.gz").write_bytes(damaged)
        with pytest.raises(UserError, match="the gzip file is damaged"):
            read_lines(tmp_path / "t.csv.gz")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("announced", [False, True])
def test_rows_are_split_at_the_delimiter_of_the_header(delimiter, announced):
    head = f"sep={delimiter}\n" if announced else "\n"
    text = head + delimiter.join("abc") + "\n" + delimiter.join(["1", '"2 , ; 3"', " 4 "])
    rows = split_rows(decode(text.encode(), "t.csv"), "t.csv")
    assert rows.cells == [["a", "b", "c"], ["1", "2 , ; 3", "4"]]
    assert rows.numbers == [2, 3]


def test_commas_in_brackets_are_no_delimiters():
    assert cells("a;b[x,y,z,w,v]\n1;2")[1] == ["1", "2"]


def test_a_delimiter_that_is_not_clear_is_refused():
    with pytest.raises(UserError, match="row 1: the delimiter is not clear"):
        cells("a,b;c\n1,2;3")


def test_rows_keep_the_number_of_their_line_below_cells_of_several_lines():
    rows = split_rows(decode(b'a,b\n1,"one\ntwo"\n\n2,x', "t.csv"), "t.csv")
    assert rows.cells[1:] == [["1", "one\ntwo"], [], ["2", "x"]]
    assert rows.numbers == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("text", "row"), [('a,b\n1,"2\n3,4\n', 2), ('a,b\n1,"2\n3,4\n5,6"\n', 2), ('a,b\n1,"2"3\n', 2)]
)
def test_a_quotation_mark_without_its_pair_does_not_swallow_rows(text, row):
    with pytest.raises(UserError, match=rf"row {row}: .*quotation mark without its pair"):
        cells(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_by_a_user_error(content):
    try:
        rows = split_rows(decode(content, "t.csv"), "t.csv")
    except UserError:
        return
    assert len(rows.cells) == len(rows.numbers)
