"""A write through a hard link changes DVC's cache, and DVC does not notice."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from cxr14.datasets.outputs import check_cache, find_cache
from cxr14.errors import UserError
from cxr14.io import read_json


@pytest.fixture
def root(tmp_path) -> Path:
    """A repository with one output of two files, linked to the cache."""
    entries = []
    for name, content in (("images.npy", b"pixels"), ("index.parquet", b"rows")):
        md5 = hashlib.md5(content).hexdigest()
        entries.append({"md5": md5, "relpath": name})
        kept = tmp_path / "cache" / md5[:2] / md5[2:]
        kept.parent.mkdir(parents=True)
        kept.write_bytes(content)
        (tmp_path / "data" / "cache").mkdir(parents=True, exist_ok=True)
        os.link(kept, tmp_path / "data" / "cache" / name)
    (tmp_path / "cache" / "ab").mkdir(exist_ok=True)
    (tmp_path / "cache" / "ab" / "cd.dir").write_text(json.dumps(entries))
    lock = {"stages": {"preprocess": {"outs": [{"path": "data/cache", "md5": "abcd.dir"}]}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    return tmp_path


def check(root):
    check_cache(root, root / "cache", root / "record.json")


def test_an_intact_cache_is_compared_once(root):
    check(root)
    assert len(read_json(root / "record.json")) == 2
    before = (root / "record.json").stat().st_mtime_ns
    check(root)
    assert (root / "record.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("compared", [False, True])
def test_a_changed_file_is_named_with_the_file_of_the_cache_to_remove(root, compared):
    if compared:
        check(root)
    with (root / "data/cache/images.npy").open("r+b") as file:
        file.write(b"PIXELS")
    md5 = hashlib.md5(b"pixels").hexdigest()
    for _ in range(2):  # it is found again until it is mended
        with pytest.raises(UserError) as caught:
            check(root)
        assert str(caught.value).startswith("data/cache/images.npy: changed after the stage wrote")
        assert f"rm -f '{root / 'cache' / md5[:2] / md5[2:]}'" in str(caught.value)
        assert "index.parquet" not in str(caught.value)
    (root / "cache" / md5[:2] / md5[2:]).unlink()
    check(root)


def test_a_replaced_output_leaves_the_cache_intact(root):
    (root / "data/cache/images.npy").unlink()
    (root / "data/cache/images.npy").write_bytes(b"another")
    check(root)
    md5 = hashlib.md5(b"pixels").hexdigest()
    assert (root / "cache" / md5[:2] / md5[2:]).read_bytes() == b"pixels"


def test_a_changed_output_of_the_second_pipeline_is_made_by_its_own_command(root):
    content = b"logits"
    md5 = hashlib.md5(content).hexdigest()
    (root / "cache" / md5[:2]).mkdir(exist_ok=True)
    (root / "cache" / md5[:2] / md5[2:]).write_bytes(b"LOGITS")
    (root / "chexnext").mkdir()
    (root / "chexnext/dvc.yaml").write_text("stages: {predict: {wdir: ..}}")
    lock = {"stages": {"predict": {"outs": [{"path": "chexnext/a.npy", "md5": md5}]}}}
    (root / "chexnext/dvc.lock").write_text(json.dumps(lock))
    with pytest.raises(UserError, match=r"\n  dvc repro\n  dvc repro chexnext/dvc\.yaml$"):
        check(root)


def test_a_repository_without_its_dvc_folder_is_told_how_to_get_it_back(tmp_path):
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError, match=r"\.dvc: DVC cannot open it .*; restore it: git checkout"):
        find_cache(tmp_path)
