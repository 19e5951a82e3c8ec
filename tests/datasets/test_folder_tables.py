"""Which files of a user's folder are read as tables and lists, and which are only reported."""

import os
import resource
import warnings
from pathlib import Path
from zipfile import ZipFile

import pytest

from cxr14.datasets.folder_tables import SNIFFED_FILES, find_tables
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.datasets.text_files import MAX_BYTES
from cxr14.errors import UserError

NAME = "Data_Entry_2017.csv"
ROW = b"Image Index,Finding Labels\n00000001_000.png,Mass\n"


def write_zip(path, content=b"rows", name=f"deep/{NAME}"):
    with ZipFile(path, "w") as archive:
        archive.writestr(name, content)


def read(folder):
    """File and content of each table."""
    return {name: (table.file, table.content) for name, table in find_tables(folder).tables.items()}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("train_val_list_NIH.txt", LISTS[0]),
        ("test_list_NIH.txt", LISTS[1]),
        ("TEST_LIST.TXT", LISTS[1]),
        ("test_list (2).txt", LISTS[1]),
        ("test-list.csv", LISTS[1]),
        ("BBox_List_2017_Official_NIH.csv", BOX_TABLE),
        ("bbox_list_2017.csv", BOX_TABLE),
        ("DATA_ENTRY_2017_V2020.CSV", IMAGE_TABLE),
        ("Data_Entry_2017_v2020 (1).csv", IMAGE_TABLE),
        ("Data_Entry_2017_v2020(1).csv", IMAGE_TABLE),
        ("Data_Entry_2017_v2020 (copy).csv", IMAGE_TABLE),
        ("Data_Entry_2017_v2020 (another copy).csv", IMAGE_TABLE),
        ("Data_Entry_2017 - Copy (2).csv", IMAGE_TABLE),
        ("Copy of Data_Entry_2017.csv", IMAGE_TABLE),
        ("Data Entry 2017 v2020 - Kopie.csv", IMAGE_TABLE),
        ("Data_Entry_2017_v2020.csv.txt", IMAGE_TABLE),
        ("data_entry_2017_v2020.tsv", IMAGE_TABLE),
        ("sample_labels.csv", IMAGE_TABLE),
    ],
)
def test_a_copy_under_a_similar_name_is_read_loose_and_in_a_zip(tmp_path, name, table):
    """They were ignored, and the packaged table or our own split took their place."""
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / name).write_bytes(ROW)
    assert read(tmp_path / "loose") == {table: (name, ROW)}
    (tmp_path / "packed").mkdir()
    write_zip(tmp_path / "packed" / "Archive.ZIP", ROW, f"in/{name}")
    assert read(tmp_path / "packed") == {table: (f"Archive.ZIP/in/{name}", ROW)}


@pytest.mark.parametrize(
    "name", ["labels.csv", "Data_Entry_2017_v2020_relabelled.csv", "my_train_list.txt", "a.tsv"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_another_name_is_not_read_but_reported(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(ROW.decode().encode(encoding))
    found = find_tables(tmp_path)
    assert found.tables == {}
    ((file, reason),) = found.unread
    assert file == name
    assert IMAGE_TABLE in reason


def test_a_list_of_names_without_a_suffix_and_a_workbook_are_reported_too(tmp_path):
    (tmp_path / "mine.txt").write_text("00000001_000\n00000002_000\n")
    (tmp_path / "Data_Entry_2017_v2020.xlsx").write_bytes(b"PK")
    write_zip(tmp_path / "a.zip", ROW, "labels.csv")
    assert [file for file, _ in find_tables(tmp_path).unread] == [
        "Data_Entry_2017_v2020.xlsx", "a.zip/labels.csv", "mine.txt",
    ]  # fmt: skip


def test_texts_of_another_kind_are_not_reported(tmp_path):
    (tmp_path / "README.txt").write_text("Chest X-rays of the NIH Clinical Center.\n")
    (tmp_path / "prices.csv").write_text("item;price\nbread;2,50\n")
    (tmp_path / "._Data_Entry_2017.csv").write_bytes(ROW)
    assert find_tables(tmp_path).unread == []


def test_the_best_name_is_read_and_the_other_reported(tmp_path):
    (tmp_path / IMAGE_TABLE).write_bytes(b"v2020")
    (tmp_path / NAME).write_bytes(b"2017")
    (tmp_path / "sample_labels.csv").write_bytes(b"sample")
    found = find_tables(tmp_path)
    assert found.tables[IMAGE_TABLE].content == b"v2020"
    assert [file for file, _ in found.unread] == [NAME, "sample_labels.csv"]


def test_a_copy_of_the_table_comes_before_a_sample(tmp_path):
    (tmp_path / "Data_Entry_2017 (1).csv").write_bytes(b"all")
    (tmp_path / "sample_labels.csv").write_bytes(b"sample")
    assert read(tmp_path)[IMAGE_TABLE] == ("Data_Entry_2017 (1).csv", b"all")


def test_two_that_are_equally_good_and_differ_are_refused_by_name(tmp_path):
    (tmp_path / "DATA_ENTRY_2017_V2020.CSV").write_bytes(b"one")
    (tmp_path / "Data_Entry_2017_v2020 (1).csv").write_bytes(b"two")
    with pytest.raises(
        UserError,
        match=r"'DATA_ENTRY_2017_V2020\.CSV' and 'Data_Entry_2017_v2020 \(1\)\.csv' could both be",
    ):
        find_tables(tmp_path)
    (tmp_path / "Data_Entry_2017_v2020 (1).csv").write_bytes(b"one")
    assert read(tmp_path)[IMAGE_TABLE][1] == b"one"


def test_two_of_one_name_in_two_folders_are_refused_if_they_differ(tmp_path):
    for folder, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / LISTS[0]).write_bytes(content)
    with pytest.raises(UserError, match=r"'a/train_val_list\.txt' and 'b/train_val_list\.txt'"):
        find_tables(tmp_path)


def test_a_loose_one_comes_first(tmp_path):
    write_zip(tmp_path / "archive.zip")
    (tmp_path / NAME).write_bytes(b"loose")
    found = find_tables(tmp_path)
    assert found.tables[IMAGE_TABLE].content == b"loose"
    assert found.unread == [(f"archive.zip/deep/{NAME}", f"'{NAME}' is read in its place")]


def test_a_damaged_table_in_a_zip_is_not_needed_beside_a_loose_one(tmp_path):
    """A whole table was laid beside an archive with a damaged one, and the archive was refused."""
    path = tmp_path / "archive.zip"
    write_zip(path)
    path.write_bytes(path.read_bytes().replace(b"rows", b"rowz", 1))
    (tmp_path / NAME).write_bytes(b"loose")
    assert read(tmp_path)[IMAGE_TABLE][1] == b"loose"


def test_a_broken_zip_is_reported(tmp_path):
    """A truncated notes.zip ended the download in a traceback."""
    write_zip(tmp_path / "b.zip")
    (tmp_path / "a.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:40])
    found = find_tables(tmp_path)
    assert found.tables[IMAGE_TABLE].content == b"rows"
    ((file, reason),) = found.unread
    assert file == "a.zip"
    assert "not a whole archive" in reason


def test_a_damaged_table_is_an_error_and_is_not_replaced_by_the_packaged_one(tmp_path):
    """With one official list lost, and the other too, the split would quietly be our own."""
    path = tmp_path / "archive.zip"
    write_zip(path)
    path.write_bytes(path.read_bytes().replace(b"rows", b"rowz", 1))
    with pytest.raises(UserError, match=rf"archive\.zip: deep/{NAME} is damaged \(Bad CRC"):
        find_tables(tmp_path)


def test_a_table_that_is_too_large_is_refused(tmp_path):
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match=rf"{NAME} has {MAX_BYTES + 1} bytes or more"):
        find_tables(tmp_path)


@pytest.mark.parametrize("name", [NAME, LISTS[1], "labels.csv"])
def test_a_pipe_stops_nothing(tmp_path, name):
    os.mkfifo(tmp_path / name)
    if name == "labels.csv":
        assert find_tables(tmp_path).unread[0][1].endswith("allowed: a regular file")
        return
    with pytest.raises(UserError, match=f"{name} is a named pipe"):
        find_tables(tmp_path)


def test_a_folder_with_a_tables_name_is_entered_and_refused_if_it_holds_no_table(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(UserError, match=rf"{NAME} is a folder; allowed: a regular file"):
        find_tables(tmp_path)
    (tmp_path / NAME / NAME).write_bytes(b"rows")
    assert read(tmp_path) == {IMAGE_TABLE: (f"{NAME}/{NAME}", b"rows")}


def test_a_link_that_leads_to_itself_is_one_sentence(tmp_path):
    (tmp_path / NAME).symlink_to(NAME)
    with pytest.raises(UserError, match=rf"{NAME} cannot be read \(Too many levels"):
        find_tables(tmp_path)


def test_two_of_one_name_in_one_zip_are_refused_if_they_differ(tmp_path):
    """The second was read twice, and the first passed over."""
    with ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(NAME, b"one")
        archive.writestr(NAME, b"two")
    with pytest.raises(UserError, match=r"could both be .* have different contents"):
        find_tables(tmp_path)


def test_many_zips_are_not_open_at_once(tmp_path):
    """From 300 on they ended in `Too many open files`."""
    for number in range(60):
        write_zip(tmp_path / f"{number}.zip", ROW, f"labels_{number}.csv")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, before[1]))
    try:
        found = find_tables(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(found.unread) == 60
    assert all("it looks like a table" in reason for _, reason in found.unread)


@pytest.mark.parametrize("name", ["x\udcff/Data_Entry_2017.csv", "x\x1b[31m/Data_Entry_2017.csv"])
def test_a_table_whose_name_cannot_be_shown_is_refused(tmp_path, name):
    """It ended in a UnicodeEncodeError, or sent escape codes to the terminal."""
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(ROW)
    with pytest.raises(UserError, match="no text; rename it") as caught:
        find_tables(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Data_Entry_2017", "data_entry_2017_v2020.tab"])
def test_a_table_without_a_known_suffix_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(ROW)
    assert read(tmp_path) == {IMAGE_TABLE: (name, ROW)}


def test_a_list_without_a_suffix_is_read(tmp_path):
    (tmp_path / "train_val_list").write_bytes(ROW)
    assert read(tmp_path) == {LISTS[0]: ("train_val_list", ROW)}


def test_a_zip_is_known_by_its_content(tmp_path):
    write_zip(tmp_path / "archive", ROW)
    assert read(tmp_path) == {IMAGE_TABLE: (f"archive/deep/{NAME}", ROW)}


@pytest.mark.parametrize("suffix", [".csv.xz", ".csv.bz2", ".tab.gz", ".txt.zst"])
def test_a_compressed_table_is_reported(tmp_path, suffix):
    (tmp_path / f"Data_Entry_2017{suffix}").write_bytes(b"x")
    assert [file for file, _ in find_tables(tmp_path).unread] == [f"Data_Entry_2017{suffix}"]


def test_texts_beyond_the_limit_are_counted(tmp_path):
    for number in range(SNIFFED_FILES + 3):
        (tmp_path / f"{number:04d}.txt").write_bytes(b"a report")
    ((file, reason),) = find_tables(tmp_path).unread
    assert file == f"{SNIFFED_FILES:04d}.txt"
    assert reason == "3 text files, from this one on, were not looked at"
