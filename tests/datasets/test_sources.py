"""What a source leaves for the next stages."""

import hashlib
from zipfile import ZipFile

import pandas as pd
import pytest

from cxr14.datasets.issues import read_issues, summarize
from cxr14.datasets.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST, RAW_ISSUES
from cxr14.datasets.source import check_images, check_names, check_tables, names_hash, write_folder
from cxr14.errors import UserError
from cxr14.io import read_json
from tests.datasets.pictures import some_pngs, write_archive, write_loose
from tests.datasets.tables.written import HEADER

PNGS = some_pngs(3)
TABLE = (
    f"{HEADER}\n"
    + "".join(
        f"{name},Mass,0,{int(name[:8])},058Y,F,PA,1024,1024,0.1,0.1,\n" for name in list(PNGS)[:2]
    )
    + "00000077_000.png,Mass,0,77,058Y,F,PA,1024,1024,0.1,0.1,\n"
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a table of its own that misses one picture and has a row too many."""
    write_loose(tmp_path / "mine" / "images", PNGS)
    (tmp_path / "mine" / "Data_Entry_2017.csv").write_text(TABLE)
    return tmp_path / "mine"


def describe(folder, tmp_path):
    return write_folder(tmp_path / "tables", tmp_path / "archives", folder, "mine")


def test_a_folder_brings_its_own_table_and_every_mismatch_is_counted(folder, tmp_path):
    counts = describe(folder, tmp_path)
    assert counts == {
        "images": 2,
        "images_in_no_table": 1,
        "rows_without_image": 1,
        "refused_members": 0,
        "repeated_images": 0,
        "images_of_same_content": 0,
        "images_of_other_extension": 0,
    }
    issues = read_issues(tmp_path / "tables" / RAW_ISSUES)
    rows = issues[["file", "name", "issue", "action"]].to_numpy().tolist()
    assert rows == [
        ["", f"images/{list(PNGS)[2]}", "in no table", "skipped"],
        ["mine/Data_Entry_2017.csv", "00000077_000.png", "no image", "skipped"],
    ]
    tables = tmp_path / "tables"
    assert (tables / IMAGE_TABLE).read_text() == TABLE
    manifest = pd.read_csv(tables / MANIFEST, keep_default_na=False)
    assert manifest.image.tolist() == list(PNGS)[:2]
    assert manifest.container.tolist() == ["", ""]
    facts = read_json(tables / FACTS)
    assert facts == {
        "source": "folder",
        "phantom": False,
        "base": "mine",
        "table_files": {IMAGE_TABLE: "mine/Data_Entry_2017.csv", BOX_TABLE: None},
        "table_sha256": {IMAGE_TABLE: hashlib.sha256(TABLE.encode()).hexdigest()},
        "names_sha256": names_hash(folder),
        "container_bytes": {},
        **counts,
    }
    assert list((tmp_path / "archives").iterdir()) == []
    assert not any((tables / name).exists() for name in LISTS)


def test_what_a_folder_lacks_comes_from_the_packaged_tables(folder, tmp_path):
    describe(folder, tmp_path)
    assert len((tmp_path / "tables" / BOX_TABLE).read_text().splitlines()) == 985


def test_official_lists_come_along_and_go_again(folder, tmp_path):
    for name in LISTS:
        (folder / name).write_text("\n".join(PNGS))
    describe(folder, tmp_path)
    assert (tmp_path / "tables" / LISTS[1]).read_text().split() == list(PNGS)
    for name in LISTS:
        (folder / name).unlink()
    describe(folder, tmp_path)
    assert not any((tmp_path / "tables" / name).exists() for name in LISTS)


def test_tables_and_lists_in_a_zip_or_a_folder_below_are_found(folder, tmp_path):
    """They were passed over without a word, and the split was not the official one."""
    with ZipFile(tmp_path / "mine" / "archive.zip", "w") as archive:
        for name in LISTS:
            archive.writestr(f"lists/{name}", "\n".join(PNGS))
    (folder / "deep").mkdir()
    (folder / "Data_Entry_2017.csv").rename(folder / "deep" / "Data_Entry_2017.csv")
    describe(folder, tmp_path)
    facts = read_json(tmp_path / "tables" / FACTS)
    assert facts["table_files"] == {
        IMAGE_TABLE: "mine/deep/Data_Entry_2017.csv",
        BOX_TABLE: None,
        LISTS[0]: f"mine/archive.zip/lists/{LISTS[0]}",
        LISTS[1]: f"mine/archive.zip/lists/{LISTS[1]}",
    }
    assert (tmp_path / "tables" / IMAGE_TABLE).read_text() == TABLE
    assert (tmp_path / "tables" / LISTS[0]).read_text().split() == list(PNGS)


def test_one_official_list_without_the_other_is_refused(folder, tmp_path):
    (folder / LISTS[0]).write_text("a.png")
    with pytest.raises(ValueError, match=rf"{LISTS[0]} is there but not the other"):
        describe(folder, tmp_path)


def test_pictures_that_no_table_knows_are_refused(tmp_path):
    write_loose(tmp_path / "mine", {"holiday.png": PNGS["00000001_000.png"]})
    (tmp_path / "mine" / IMAGE_TABLE).write_text(TABLE)
    with pytest.raises(
        ValueError, match=rf"none of 1 images is in mine/{IMAGE_TABLE}, first holiday"
    ):
        describe(tmp_path / "mine", tmp_path)


def test_rows_of_the_packaged_table_without_an_image_are_not_listed(tmp_path):
    """There are 112,117, and none of them is the user's."""
    write_loose(tmp_path / "mine", PNGS)
    counts = describe(tmp_path / "mine", tmp_path)
    assert counts["rows_without_image"] == 112_117
    assert len(read_issues(tmp_path / "tables" / RAW_ISSUES)) == 0


def test_a_file_that_looks_like_a_table_and_is_not_read_is_an_issue(folder, tmp_path):
    (folder / "relabelled.csv").write_text(TABLE)
    describe(folder, tmp_path)
    issues = read_issues(tmp_path / "tables" / RAW_ISSUES).set_index("issue")
    assert issues.file["table not read"] == "relabelled.csv"
    assert "names that are read: Data_Entry_2017_v2020.csv" in issues.detail["table not read"]


def test_a_bad_table_is_called_by_its_own_path_and_a_corrected_one_is_read(folder, tmp_path):
    """The error named our copy, which the next run restored."""
    table = folder / "Data_Entry_2017.csv"
    table.write_text(TABLE.replace(",F,PA", ",X,PA"))
    with pytest.raises(UserError) as caught:
        describe(folder, tmp_path)
    assert "mine/Data_Entry_2017.csv" in str(caught.value)
    assert str(tmp_path / "tables") not in str(caught.value)
    table.write_text(TABLE)
    assert describe(folder, tmp_path)["images"] == 2


def test_a_table_that_changed_is_new_or_has_gone_is_noticed(folder, tmp_path):
    """`make repro` said that all was up to date after labels had been corrected."""
    describe(folder, tmp_path)
    facts = read_json(tmp_path / "tables" / FACTS)
    check_tables(folder, facts)
    table = folder / "Data_Entry_2017.csv"
    table.write_text(TABLE.replace("Mass", "Nodule"))
    with pytest.raises(
        UserError,
        match=rf"{table} has changed since it was read; run `dvc repro --force download && dvc repro`",
    ):
        check_tables(folder, facts)
    table.write_text(TABLE)
    for name in LISTS:
        (folder / name).write_text("\n".join(PNGS))
    with pytest.raises(UserError, match=rf"{LISTS[0]} is new; .*{LISTS[1]} is new"):
        check_tables(folder, facts)
    table.unlink()
    with pytest.raises(UserError, match=r"mine/Data_Entry_2017\.csv is gone"):
        check_tables(folder, facts)


def test_images_that_go_or_change_size_are_noticed_without_reading_them(folder, tmp_path):
    """The cache was there, so nothing looked at the folder again."""
    describe(folder, tmp_path)
    check_images(tmp_path / "tables", folder)
    first, second = (folder / "images" / name for name in list(PNGS)[:2])
    first.unlink()
    second.write_bytes(second.read_bytes() + b"x")
    with pytest.raises(
        ValueError, match=rf"^2 of 2 images are missing or changed, first .*{first.name}"
    ):
        check_images(tmp_path / "tables", folder)


def test_an_archive_of_another_size_is_noticed(tmp_path):
    """Only whether it was there was looked at."""
    write_archive(tmp_path / "mine" / "images.tar", PNGS)
    (tmp_path / "mine" / IMAGE_TABLE).write_text(TABLE)
    describe(tmp_path / "mine", tmp_path)
    sizes = read_json(tmp_path / "tables" / FACTS)["container_bytes"]
    check_images(tmp_path / "tables", tmp_path / "mine", sizes)
    with (tmp_path / "mine" / "images.tar").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"images\.tar has \d+ bytes, and had \d+ when"):
        check_images(tmp_path / "tables", tmp_path / "mine", sizes)


@pytest.mark.parametrize("name", ["images/00000099_000.png", "more.tar"])
def test_an_image_or_archive_that_is_new_is_noticed(folder, tmp_path, name):
    describe(folder, tmp_path)
    facts = read_json(tmp_path / "tables" / FACTS)
    (folder / "notes.txt").write_text("no image")
    check_names(folder, facts)
    (folder / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"were added to .*mine, or removed, since it was listed"):
        check_names(folder, facts)


def test_a_bad_table_stops_before_the_images_are_hashed(folder, tmp_path, capsys):
    (folder / "Data_Entry_2017.csv").write_text(TABLE.replace(",F,PA", ",X,PA"))
    with pytest.raises(UserError, match="not allowed"):
        describe(folder, tmp_path)
    assert "hash" not in capsys.readouterr().out


def test_a_zip_of_the_users_table_alone_is_no_issue(folder, tmp_path):
    """It was listed as an archive without images, and counted as refused."""
    table = folder / "Data_Entry_2017.csv"
    with ZipFile(folder / "table.zip", "w") as archive:
        archive.write(table, table.name)
    table.unlink()
    assert describe(folder, tmp_path)["refused_members"] == 0
    issues = read_issues(tmp_path / "tables" / RAW_ISSUES)
    assert "archive without images" not in set(issues.issue)


@pytest.mark.parametrize("kind", ["tables.tar", "tables.tar.gz"])
def test_a_table_in_a_tar_is_named(folder, tmp_path, kind):
    """It was passed over without a word."""
    content = {
        "Data_Entry_2017_v2020.csv": TABLE.encode(),
        "notes.txt": b"of the weather",
        "other.tab": b"the start of this suffix was read twice, which ended the run",
    }
    write_archive(folder / kind, content)
    describe(folder, tmp_path)
    issues = read_issues(tmp_path / "tables" / RAW_ISSUES).set_index("issue")
    assert issues.loc["table not read", ["file", "name"]].tolist() == [
        kind,
        f"images/{IMAGE_TABLE}",
    ]


def test_names_that_no_terminal_can_show_are_escaped_in_the_issues(folder, tmp_path):
    """They ended in a UnicodeEncodeError, or moved the cursor."""
    (folder / "labels\udcff.csv").write_text(TABLE)
    (folder / "labels\x1b[2J.csv").write_text(TABLE)
    describe(folder, tmp_path)
    issues = read_issues(tmp_path / "tables" / RAW_ISSUES)
    names = issues.file[issues.issue == "table not read"].tolist()
    assert names == ["labels\\x1b[2J.csv", "labels\\udcff.csv"]
    assert all(line.isprintable() for line in summarize(issues, tmp_path / "issues.csv"))
