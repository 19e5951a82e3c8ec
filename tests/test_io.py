"""Atomic writers."""

import hashlib
import json
import stat

import numpy as np
import pandas as pd
import pytest

from cxr14.io import (
    project_root,
    read_json,
    replacing,
    sha256,
    write_csv,
    write_json,
    write_metrics,
    write_npy,
    write_parquet,
    write_text,
)


def test_a_writer_that_fails_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_target_is_the_old_file_until_the_writer_is_done(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_hard_link_to_the_old_file_keeps_its_content(tmp_path):
    """DVC links files of the work tree into its cache: they must be replaced."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "cache").hardlink_to(tmp_path / "file")
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "cache").read_text() == "old"


def test_metrics_are_sorted_rounded_and_null_where_there_is_no_number(tmp_path):
    metrics = {
        "b": {"z": np.float32(0.123456), "a": float("nan")},
        "a": [float("inf"), 1.00004, np.int64(3), np.bool_(True)],
        10: None,
    }
    write_metrics(tmp_path / "m.json", metrics)
    text = (tmp_path / "m.json").read_text()
    expected = {"10": None, "a": [None, 1.0, 3, True], "b": {"a": None, "z": 0.1235}}
    assert text == json.dumps(expected, indent=2) + "\n"
    assert read_json(tmp_path / "m.json") == expected


def test_json_refuses_nan_and_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": 1}


def test_equal_tables_and_arrays_give_equal_bytes(tmp_path):
    table = pd.DataFrame({"image": ["a", "b"], "x": [1.5, np.nan]})
    for name in ("first", "second"):
        write_parquet(tmp_path / f"{name}.parquet", table.copy())
        write_npy(tmp_path / f"{name}.npy", np.arange(6).reshape(2, 3))
    for suffix in ("parquet", "npy"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    assert pd.read_parquet(tmp_path / "first.parquet").equals(table)
    assert np.load(tmp_path / "first.npy").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_csv_has_six_significant_digits_and_no_index(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1 / 3, 1e-9], "n": [1, 2]}))
    assert (tmp_path / "a.csv").read_text() == "x,n\n0.333333,1\n1e-09,2\n"


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_root_is_the_one_that_dvc_names_else_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", "/somewhere")
    assert str(project_root()) == "/somewhere"
