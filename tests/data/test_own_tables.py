"""Tables in the zips of a user's folder."""

from zipfile import ZipFile

import pytest

from cxr14.data import own_tables
from cxr14.data.own_tables import find_tables

NAME = "Data_Entry_2017.csv"


def write_zip(path, content=b"rows"):
    with ZipFile(path, "w") as archive:
        archive.writestr(f"deep/{NAME}", content)


def test_a_table_in_a_zip_is_found(tmp_path):
    write_zip(tmp_path / "archive.zip")
    assert find_tables(tmp_path, [NAME]) == {NAME: b"rows"}


def test_a_loose_one_comes_first(tmp_path):
    write_zip(tmp_path / "archive.zip")
    (tmp_path / NAME).write_bytes(b"loose")
    assert find_tables(tmp_path, [NAME]) == {NAME: b"loose"}


def test_what_was_found_before_is_not_read_again_though_it_be_damaged(tmp_path):
    """A whole table was laid beside an archive with a damaged one, and the archive was refused."""
    path = tmp_path / "archive.zip"
    write_zip(path)
    path.write_bytes(path.read_bytes().replace(b"rows", b"rowz", 1))
    (tmp_path / NAME).write_bytes(b"loose")
    assert find_tables(tmp_path, [NAME]) == {NAME: b"loose"}


def test_a_broken_zip_is_passed_by_with_a_warning(tmp_path):
    """A truncated notes.zip ended the download in a traceback."""
    write_zip(tmp_path / "b.zip")
    (tmp_path / "a.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:40])
    with pytest.warns(UserWarning, match=r"a\.zip cannot be opened \(.*; no tables are taken"):
        assert find_tables(tmp_path, [NAME]) == {NAME: b"rows"}


def test_a_table_that_is_too_large_is_not_passed_by_in_silence(tmp_path, monkeypatch):
    """The packaged table was taken instead, and nobody knew."""
    monkeypatch.setattr(own_tables, "TABLE_BYTES", 3)
    write_zip(tmp_path / "archive.zip")
    with pytest.raises(ValueError, match=rf"archive\.zip: deep/{NAME} has 4 bytes; a table has at"):
        find_tables(tmp_path, [NAME])


def test_a_damaged_table_is_an_error_and_is_not_replaced_by_the_packaged_one(tmp_path):
    """With one official list lost, and the other too, the split would quietly be our own."""
    path = tmp_path / "archive.zip"
    write_zip(path)
    path.write_bytes(path.read_bytes().replace(b"rows", b"rowz", 1))
    with pytest.raises(ValueError, match=rf"archive\.zip: deep/{NAME} is damaged \(Bad CRC"):
        find_tables(tmp_path, [NAME])
