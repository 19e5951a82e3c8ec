"""The stage: it joins the issues of all stages, and files that cannot be used stop the run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from cxr14.datasets.issues import (
    ISSUE_COLUMNS,
    ISSUES,
    LISTING_ISSUES,
    TABLE_ISSUES,
    UNUSABLE,
    issue_table,
    read_issues,
    write_issues,
)
from cxr14.datasets.manifest import list_images
from cxr14.errors import UserError
from cxr14.io import read_json, write_csv, write_json
from stages import preprocess
from tests.conftest import ROOT
from tests.datasets.pictures import encode, noise, write_loose

NAMES = ("00000001_000.png", "00000002_000.png", "00000003_000.png")
FACTS = {"source": "folder", "base": "own", "phantom": False, "table_files": {}, "table_sha256": {}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three images, the second transparent, as download and patient-split leave them."""
    clear = noise(2, 64, 64).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((64, 64)))
    pictures = (noise(1, 64, 64), clear, noise(3, 64, 80))
    write_loose(tmp_path / "own", dict(zip(NAMES, map(encode, pictures), strict=True)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    listing = list_images(tmp_path / "own")
    write_csv("data/raw/tables/manifest.csv", listing.manifest)
    write_json("data/raw/tables/source.json", FACTS)
    write_issues(LISTING_ISSUES, issue_table("download", []))
    write_issues(
        TABLE_ISSUES,
        issue_table("patient-split", [("a.csv", "row 2", "age", "changed", "age 412")]),
    )
    set_on_error("fail")
    return tmp_path


def set_on_error(what: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["preprocess"] |= {"size": 64, "workers": 1, "on_error": what}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def list_unusable() -> list[str]:
    rows = [("a.zip", f"{n}.png", kind, "skipped", "why") for n, kind in enumerate(UNUSABLE)]
    rows.append(("a.zip", "b.png", "repeated", "skipped", "twice"))
    write_issues(LISTING_ISSUES, issue_table("download", rows))
    return [f"a.zip/{n}.png: {kind} (why)" for n, kind in enumerate(UNUSABLE)]


def test_issues_of_all_stages_are_in_one_table_and_every_remark_has_a_row(project, capsys):
    preprocess.main()
    table = read_issues(ISSUES)
    assert tuple(table) == ISSUE_COLUMNS
    found = table[["stage", "name", "issue", "action"]].to_numpy().tolist()
    assert found == [
        ["patient-split", "row 2", "age", "changed"],
        ["preprocess", NAMES[1], "transparent", "changed"],
        ["preprocess", NAMES[2], "padded", "changed"],
    ]
    said = capsys.readouterr().out
    assert f"1 × transparent (changed): {NAMES[1]}" in said
    assert "all 3 issues: data/issues.csv" in said
    counts = read_json("metrics/preprocess.json")
    assert (counts["transparent"], counts["padded"], counts["colour"]) == (1, 1, 0)


def test_files_that_the_listing_could_not_use_stop_the_run_and_all_are_named(project):
    sentences = list_unusable()
    with pytest.raises(UserError, match=rf"{len(UNUSABLE)} images of .* cannot be used") as caught:
        preprocess.main()
    assert str(caught.value).splitlines()[1:] == sentences
    assert not (project / "data" / "cache" / "images.npy").exists()
    assert not ISSUES.exists()


def test_with_skip_they_are_left_out_and_counted(project):
    list_unusable()
    set_on_error("skip")
    preprocess.main()
    counts = read_json("metrics/preprocess.json")
    assert (counts["images"], counts["skipped"], counts["skipped_files"]) == (3, 0, len(UNUSABLE))
    assert len(read_issues(ISSUES)) == len(UNUSABLE) + 1 + 1 + 2


def test_a_truncated_image_stops_the_run_or_is_a_row_of_the_table(project):
    path = project / "own" / NAMES[0]
    path.write_bytes(path.read_bytes()[:2000])
    write_csv("data/raw/tables/manifest.csv", list_images(project / "own").manifest)
    with pytest.raises(UserError, match=rf"1 images of .*\n{NAMES[0]}: not a readable image"):
        preprocess.main()
    set_on_error("skip")
    preprocess.main()
    row = read_issues(ISSUES).query("action == 'skipped'").iloc[0]
    assert (row["name"], row["issue"]) == (NAMES[0], "damaged")
    assert np.load("data/cache/images.npy", mmap_mode="r").shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("path", "command"), [(LISTING_ISSUES, "download"), (TABLE_ISSUES, "patient-split")]
)
@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b'stage\n"'])
def test_a_missing_or_foreign_table_of_issues_is_one_sentence(project, path, command, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path}.*`dvc repro {command}`"):
        preprocess.main()


def test_tables_of_issues_keep_every_cell_as_text(tmp_path):
    rows = [("", "NA", "repeated", "kept", "007")]
    write_issues(tmp_path / "issues.csv", issue_table("download", rows))
    expected = pd.DataFrame([["download", *rows[0]]], columns=list(ISSUE_COLUMNS), dtype="str")
    pd.testing.assert_frame_equal(read_issues(tmp_path / "issues.csv"), expected)
