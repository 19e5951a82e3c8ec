"""The stage patient-split on dirty tables: what it writes, counts and prints."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from cxr14.datasets.issues import read_issues
from cxr14.datasets.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST, RENEW
from cxr14.datasets.records import read_boxes
from cxr14.io import read_json
from tests.datasets.tables.written import BOX_HEADER, HEADER, image_row, write

ROOT = Path(__file__).resolve().parents[3]
NAMES = [f"{patient:08d}_000.png" for patient in range(1, 11)]
ROWS = [image_row(name, patient=n, age="058Y", end=",") for n, name in enumerate(NAMES, start=1)]
OWN = "/own/Data_Entry_2017.csv"
DIRT = [
    ROWS[0],
    image_row("00000001_001.png", patient=1, sex="M", age="414Y", end=","),
    image_row("00000002_001.png", "Infiltrate|Mass", patient=2, age="011M", end=","),
]
BOXES = [
    "00000009_000.png,Mass,1000,900,100,200",
    "00000010_000.png,Infiltrate,5,6,7,8",
    "00000099_000.png,Mass,5,6,7,8",
]


def split_in(
    folder: Path,
    *rows: str,
    unit: str = "nih",
    boxes: list[str] = BOXES,
    files: list[str] = NAMES,
) -> subprocess.CompletedProcess[str]:
    """Run the stage in a folder with these rows in the table of images; images lie in own/."""
    tables = folder / "data" / "raw" / "tables"
    tables.mkdir(parents=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["boxes"] = unit
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write(tables / IMAGE_TABLE, HEADER + ",", rows)
    write(tables / BOX_TABLE, BOX_HEADER, boxes)
    train_val = [*NAMES[:8], "00000001_001.png", "00000002_001.png", NAMES[3], "00000077_000.png"]
    for name, listed in zip(LISTS, (train_val, NAMES[8:]), strict=True):
        (tables / name).write_text("\n".join(listed))
    manifest = pd.DataFrame({"image": files, "container": "", "member": files})
    manifest = manifest.assign(bytes=9, sha256=64 * "0")
    manifest.to_csv(tables / MANIFEST, index=False)
    (tables / FACTS).write_text(
        json.dumps(
            {
                "source": "folder",
                "phantom": False,
                "base": "own",
                "table_files": {IMAGE_TABLE: OWN},
                "table_sha256": {},
            }
        )
    )
    return subprocess.run(
        [sys.executable, "-c", CODE, str(ROOT)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


CODE = """
import sys
sys.path.insert(0, sys.argv.pop())
from stages import patient_split, run
run(patient_split.main, patient_split.__doc__)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of one run on dirty tables."""
    folder = tmp_path_factory.mktemp("dirty")
    run = split_in(folder, *ROWS, *DIRT)
    assert run.returncode == 0, run.stderr
    return folder, run.stdout


def test_every_issue_is_counted_in_the_metrics(done: tuple[Path, str]) -> None:
    tables = read_json(done[0] / "metrics" / "patient_split.json")["tables"]
    assert tables == {
        "images": {
            "rows": 12,
            "ages_with_a_unit": 12,
            "blank_lines": 0,
            "repeated_rows": 1,
            "respelled_labels": 1,
            "ages_in_months_or_days": 1,
            "ages_above_100": 1,
            "patients_with_two_sexes": 1,
            "unused_columns": 0,
            "assumed_encoding": 0,
        },
        "boxes": {
            "rows": 2,
            "unit_nih": 2,
            "blank_lines": 0,
            "repeated_rows": 0,
            "respelled_labels": 1,
            "clipped": 1,
            "box_without_file": 0,
            "image_in_no_table": 1,
            "label_not_in_table": 1,
            "unused_columns": 0,
            "assumed_encoding": 0,
        },
        "train_val_list": {
            "rows": 10,
            "blank_lines": 0,
            "listed_twice": 1,
            "image_in_no_table": 1,
            "no_final_newline": 1,
            "assumed_encoding": 0,
        },
        "test_list": {
            "rows": 2,
            "blank_lines": 0,
            "listed_twice": 0,
            "image_in_no_table": 0,
            "no_final_newline": 1,
            "assumed_encoding": 0,
        },
    }


def test_the_metrics_count_substitutes(done: tuple[Path, str]) -> None:
    metrics = read_json(done[0] / "metrics" / "patient_split.json")
    flags = {name: metrics[name] for name in ("packaged_table", "packaged_boxes", "own_split")}
    assert flags == {"packaged_table": 0, "packaged_boxes": 1, "own_split": 0}


def test_every_issue_is_listed_with_its_row_under_the_users_file(done: tuple[Path, str]) -> None:
    folder, printed = done
    listed = read_issues(folder / "data" / "table_issues.csv")
    assert set(listed.stage) == {"patient-split"}
    images = listed[listed.file == OWN].drop(columns=["stage", "file"])
    assert sorted(images.to_numpy().tolist()) == [
        ["row 12", "repeated row", "skipped", "'00000001_000.png': identical to an earlier row"],
        ["row 13", "age above 100", "changed", "'414Y': recorded as missing"],
        ["row 13", "patient with two sexes", "kept", "'patient 1': as written"],
        ["row 14", "age in months or days", "changed", "'011M': turned into whole years"],
        [
            "row 14",
            "label in another spelling",
            "changed",
            "'Infiltrate|Mass': read as the standard name",
        ],
    ]
    assert f"data/raw/tables/{BOX_TABLE}" in set(listed.file)
    assert f"1 × patient with two sexes (kept): {OWN} row 13\n" in printed
    assert "2 × no final newline (kept)" in printed
    assert f"all {len(listed)} issues: data/table_issues.csv\n" in printed
    assert "blank line" not in printed


def test_the_records_follow_the_rules(done: tuple[Path, str]) -> None:
    records = pd.read_parquet(done[0] / "data" / "records" / "images.parquet").set_index("image")
    assert len(records) == 12
    assert records.age["00000001_001.png"] is pd.NA
    assert records.age["00000002_001.png"] == 0
    boxes = pd.read_parquet(done[0] / "data" / "records" / "boxes.parquet")
    assert boxes.drop(columns="image").to_numpy().tolist() == [
        ["Mass", 1000, 900, 24, 124],
        ["Infiltration", 5, 6, 7, 8],
    ]


def test_dirt_that_no_rule_handles_ends_the_stage_with_the_row_and_without_a_traceback(
    tmp_path: Path,
) -> None:
    done = split_in(tmp_path, *ROWS, image_row("a.png", sex="U"), image_row("b.png", view="LL"))
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {OWN}: 2 values are not allowed; correct the file, then run {RENEW}:\n"
        "  row 12, sex: 'U'; allowed: M or F\n"
        "  row 13, view: 'LL'; allowed: PA or AP\n"
    )
    assert not (tmp_path / "data" / "records").exists()


def picture_of(side: int, folder: Path) -> None:
    """Write the two boxed images with this side."""
    (folder / "own").mkdir(parents=True)
    for name in NAMES[8:]:
        Image.new("L", (side, side)).save(folder / "own" / name)


def test_own_boxes_in_pixels_of_larger_files_are_converted_and_the_files_need_no_key(
    tmp_path: Path,
) -> None:
    picture_of(2048, tmp_path)
    boxes = [f"{name},Mass,1400,300,500,400" for name in NAMES[8:]]
    run = split_in(tmp_path, *ROWS, unit="auto", boxes=boxes)
    assert run.returncode == 0, run.stderr
    assert "boxes: read in the unit image (the files have up to 2048×2048 pixels, so" in run.stdout
    table = pd.read_parquet(tmp_path / "data" / "records" / "boxes.parquet")
    assert table.columns.tolist() == ["image", "finding", "x", "y", "width", "height"]
    assert table.iloc[:, 2:].to_numpy().tolist() == [[700, 150, 250, 200]] * 2


def test_a_box_of_an_image_without_a_file_leaves_a_list_that_localize_can_read(
    tmp_path: Path,
) -> None:
    picture_of(2048, tmp_path)
    (tmp_path / "own" / NAMES[8]).unlink()
    boxes = [f"{name},Mass,1400,300,500,400" for name in NAMES[8:]]
    run = split_in(tmp_path, *ROWS, unit="auto", boxes=boxes, files=[NAMES[9]])
    assert run.returncode == 0, run.stderr
    assert "1 × box of an image without a file (skipped)" in run.stdout
    assert read_boxes(tmp_path / "data" / "records" / "boxes.parquet").image.tolist() == [NAMES[9]]
    parts = pd.read_parquet(tmp_path / "data" / "split" / "split.parquet").set_index("image").split
    assert parts[NAMES[8]] == "test"


def test_own_boxes_whose_unit_is_not_clear_end_the_stage_with_the_key(tmp_path: Path) -> None:
    picture_of(512, tmp_path)
    run = split_in(tmp_path, *ROWS, unit="auto", boxes=[f"{NAMES[8]},Mass,100,300,50,40"])
    assert run.returncode == 1
    assert "Set data.boxes in params.yaml to nih" in run.stderr
    assert "Traceback" not in run.stderr
