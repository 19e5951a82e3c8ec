"""NIH's catalogue is that of the files themselves; a stand-in for it is read strictly."""

import gzip
import hashlib
import json
import os

import pytest

from cxr14.datasets.nih import CATALOGUE, is_archive, read_catalogue
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.errors import UserError
from cxr14.io import packaged_file


def test_the_catalogue_is_twelve_archives_two_tables_and_two_lists():
    names = [file.name for file in CATALOGUE]
    assert names[:4] == [IMAGE_TABLE, BOX_TABLE, *LISTS]
    assert names[4:] == [f"images_{n:03d}.tar.gz" for n in range(1, 13)]
    assert all(is_archive(name) for name in names[4:])
    for column in ("url", "md5", "bytes"):
        assert len({getattr(file, column) for file in CATALOGUE}) == 16
    assert sum(file.bytes for file in CATALOGUE[4:]) == 45_079_862_784  # 42.0 GiB


def test_the_packaged_tables_have_the_checksums_of_the_catalogue():
    for file in CATALOGUE[:2]:
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{file.name}.gz")
        content = gzip.decompress(packed.read_bytes())
        if file.name == IMAGE_TABLE:  # the packaged copy has another word in its header
            content = content.replace(b"Patient Gender", b"Patient Sex", 1)
        assert (len(content), hashlib.md5(content).hexdigest()) == (file.bytes, file.md5)


def test_the_official_lists_have_the_checksums_of_the_catalogue(nih):
    for file in CATALOGUE[2:4]:
        content = (nih / file.name).read_bytes()
        assert (len(content), hashlib.md5(content).hexdigest()) == (file.bytes, file.md5)


LINE = {"name": "images_001.tar.gz", "url": "http://a/b", "bytes": 3, "md5": "0" * 32}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no JSON"),
        ('{"name": "x"}', "the whole"),
        ([{**LINE, "name": "../x"}], r"0\.name = '\.\./x'"),
        ([LINE, {**LINE, "url": "ftp://a"}], r"1\.url = 'ftp://a'"),
        ([{**LINE, "md5": "ABC"}], r"0\.md5 = 'ABC'"),
        ([{**LINE, "bytes": 0}], r"0\.bytes = 0"),
        ([{**LINE, "size": 3}], r"0\.size = 3"),
        ([{"name": "images_001.tar.gz", "url": "http://a/b", "bytes": 3}], r"0\.md5"),
        ([LINE, LINE], r"images_001\.tar\.gz is listed 2 times"),
        ([{**LINE, "name": "holiday.zip"}], r"holiday\.zip is none of"),
        ([], "lists no archive"),
    ],
)
def test_a_catalogue_that_cannot_work_is_refused_with_its_place(tmp_path, content, problem):
    path = tmp_path / "catalogue.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=rf"catalogue\.json: .*{problem}"):
        read_catalogue(path)


def test_a_catalogue_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        read_catalogue(tmp_path / "none.json")


def test_nihs_own_catalogue_survives_being_written_and_read(tmp_path):
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps([file.model_dump() for file in CATALOGUE]))
    assert read_catalogue(path) == CATALOGUE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_catalogue_in_any_encoding_of_unicode_is_read(tmp_path, encoding):
    """Windows' PowerShell writes UTF-16, its editor a byte order mark."""
    path = tmp_path / "catalogue.json"
    path.write_bytes(json.dumps([LINE]).encode(encoding))
    assert [file.name for file in read_catalogue(path)] == [LINE["name"]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[" * 200_000, "no JSON"),
        (b"[" + b" " * 2**20 + b"]", "no catalogue .1048578 bytes; at most"),
        (b"", "no JSON"),
        (b'[{"name": "a", "name": "b"}]', "no JSON .the key 'name' is repeated"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"\x89PNG\r\n\x1a\n", "no JSON"),
        (b'[{"name": "images_001.tar", "url": "http://a", "md5": null, "bytes": 1' + b"0" * 400 + b"}]",
         r"0\.bytes = 10{199}… .401 characters.: "),
        (b'[{"name": "' + b"x" * 900 + b'\\u001b"}]', r"0\.name"),
    ],
)  # fmt: skip
def test_a_catalogue_that_cannot_be_read_is_one_short_sentence(tmp_path, content, problem):
    path = tmp_path / "catalogue.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"catalogue\.json: {problem}") as raised:
        read_catalogue(path)
    assert len(str(raised.value)) < 600 + len(str(path))


def test_a_catalogue_that_is_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "catalogue.json")
    with pytest.raises(FileNotFoundError, match=r"catalogue\.json .* is no regular file"):
        read_catalogue(tmp_path / "catalogue.json")
