"""Readers of our own files: what is missing or damaged is one sentence with file and stage."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save

from cxr14.datasets.raw import read_facts, read_manifest
from cxr14.datasets.records import Source, read_boxes, read_records, read_source, read_split
from cxr14.errors import UserError, producing_stage
from cxr14.io import read_csv, read_json, read_npy, read_parquet, write_json, write_parquet
from cxr14.labels import LABEL_COLUMNS
from cxr14.models.weight_files import read_safetensors
from cxr14.preprocessing.cache import open_cache
from tests.conftest import ROOT

TABLE = pd.DataFrame({"image": ["a", "b", "c"], "row": [0, 1, 2], "x": [0.5, None, 1]})
READERS = {
    "data/cache/a.json": read_json,
    "data/cache/a.csv": lambda path: read_csv(path, {"image": "text"}),
    "data/cache/a.parquet": read_parquet,
    "data/cache/a.npy": lambda path: read_npy(path, np.float64, 2),
    "data/cache/b.npy": lambda path: read_npy(path, np.float64, 2, mapped=True),
    "data/cache/a.safetensors": read_safetensors,
}


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One good file of each kind, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_json("data/cache/a.json", {"key": [1, 2, 3]})
    TABLE.to_csv("data/cache/a.csv", index=False)
    write_parquet("data/cache/a.parquet", TABLE)
    for name in "ab":
        np.save(f"data/cache/{name}.npy", np.ones((40, 50)))
    Path("data/cache/a.safetensors").write_bytes(save({"w": torch.ones(30, 30)}))
    return tmp_path


def refused(path: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        READERS[path](path)
    sentence = str(caught.value)
    assert re.match(rf"{re.escape(path)} ({reason})", sentence), sentence
    assert sentence.endswith("; restore it with `dvc repro preprocess`")
    assert "\n" not in sentence
    assert len(sentence) < 500


@pytest.mark.parametrize("path", READERS)
def test_a_missing_or_damaged_file_is_one_sentence_with_its_stage(whole: Path, path: str) -> None:
    content = Path(path).read_bytes()
    READERS[path](path)
    Path(path).unlink()
    refused(path, "is missing")
    Path(path).mkdir()
    refused(path, "is no regular file")
    Path(path).rmdir()
    Path(path).write_bytes(b"")
    refused(path, "is empty|is no safetensors file")
    for damaged in (os.urandom(4000), content[:60], content[: len(content) // 2], b"PK\x03\x04abc"):
        if damaged == content or (path.endswith(".csv") and damaged in content):
            continue  # whole, or a shorter table
        Path(path).write_bytes(damaged)
        refused(path, "is damaged|is no safetensors file")


def test_a_fifo_does_not_block(whole: Path) -> None:
    for path in READERS:
        Path(path).unlink()
        os.mkfifo(path)
        refused(path, "is no regular file")


@pytest.mark.parametrize("array", [np.ones((40, 50), np.float32), np.ones(40), np.ones((2, 2, 2))])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_of_another_type_or_shape_is_refused(
    whole: Path, array: np.ndarray, mapped: bool
) -> None:
    np.save("a.npy", array)
    with pytest.raises(UserError, match=rf"holds {array.dtype} .* instead of float64 with 2"):
        read_npy("a.npy", np.float64, 2, mapped=mapped)


def test_an_array_of_objects_is_not_unpickled(whole: Path) -> None:
    np.save("a.npy", np.array([[print]], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"a\.npy is damaged: no complete array"):
        read_npy("a.npy", object, 2)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(whole: Path) -> None:
    with Path("huge.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    for mapped in (False, True):
        with pytest.raises(UserError, match=r"huge\.npy is damaged: no complete array"):
            read_npy("huge.npy", np.float64, 2, mapped=mapped)


@pytest.mark.parametrize("kind", ["text", "integer", "number", "flag"])
def test_each_kind_of_column_takes_its_own_values_alone(whole: Path, kind) -> None:
    columns = {"text": ["a"], "integer": [1], "number": [0.5], "flag": [True], "other": [None]}
    write_parquet("k.parquet", pd.DataFrame(columns))
    allowed = {"text": {"text"}, "integer": {"integer"}, "flag": {"flag"}}
    for name in columns:
        if name in allowed.get(kind, {"integer", "number"}):
            read_parquet("k.parquet", {name: kind})
        else:
            with pytest.raises(UserError, match=f"column {name} does not hold {kind} values only"):
                read_parquet("k.parquet", {name: kind})


def test_a_missing_column_a_missing_key_and_a_double_are_named(whole: Path) -> None:
    with pytest.raises(UserError, match="lacks the column label, split"):
        read_parquet("data/cache/a.parquet", {"image": "text", "label": "any", "split": "any"})
    with pytest.raises(UserError, match="lacks phantom"):
        read_json("data/cache/a.json", "key", "phantom")
    write_json("list.json", [1])
    with pytest.raises(UserError, match=r"\[1\] instead of an object"):
        read_json("list.json", "key")
    write_parquet("twice.parquet", pd.concat([TABLE, TABLE]))
    with pytest.raises(UserError, match="'a' is twice in column image"):
        read_parquet("twice.parquet", {"image": "text"}, key="image")


def test_every_output_of_the_graph_names_the_stage_that_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    items = {"backbone": "timm:vit_tiny", "set": "city"}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        if name == "register":  # its file is of this machine
            continue
        outs = [
            next(iter(out)) if isinstance(out, dict) else out
            for key in ("outs", "metrics", "plots")
            for out in stage.get(key, [])
        ]
        for out in outs:
            path = out
            for key, item in items.items():
                path = path.replace(f"${{item.{key}}}", item)
            file = path if Path(path).suffix else f"{path}/file.csv"
            matrix = "-".join(items[key] for key in stage.get("matrix", ()))
            assert producing_stage(file) == (f"{name}@{matrix}" if matrix else name), out
    assert producing_stage("chexnext/models/students/alexnet-0/model.json") == "chexnext/dvc.yaml"
    assert producing_stage("/elsewhere/model.json") is None


def good_tables() -> None:
    labels = dict.fromkeys(LABEL_COLUMNS, np.array([0, 1, 0], np.uint8))
    write_parquet("data/records/images.parquet", pd.DataFrame({"image": ["a", "b", "c"], **labels}))
    box = {"image": ["a"], "finding": ["Mass"], "x": [1.0], "y": [2.0]}
    write_parquet(
        "data/records/boxes.parquet", pd.DataFrame(box | {"width": [3.0], "height": [4.0]})
    )
    parts = ["train", "val", "test"]
    split = pd.DataFrame({"image": ["a", "b", "c"], "patient": [1, 2, 3], "split": parts})
    write_parquet("data/split/split.parquet", split)
    write_json(
        "data/records/source.json", {"source": "nih", "phantom": False, "official_split": False}
    )
    index = pd.DataFrame({"row": [0, 1, 2], "image": ["a", "b", "c"]})
    write_parquet("data/cache/index.parquet", index)
    np.save("data/cache/images.npy", np.zeros((3, 8, 8), np.uint8))
    facts = {"source": "nih", "phantom": False, "base": None, "table_files": {}, "table_sha256": {}}
    write_json("data/raw/tables/source.json", facts)
    row = {"image": ["NA.png"], "container": [""], "member": ["NA.png"], "bytes": [5]}
    manifest = pd.DataFrame(row | {"sha256": ["0" * 64]})
    manifest.to_csv("data/raw/tables/manifest.csv", index=False)


TABLES = {
    "records": ("data/records/images.parquet", read_records, "patient-split"),
    "boxes": ("data/records/boxes.parquet", read_boxes, "patient-split"),
    "split": ("data/split/split.parquet", read_split, "patient-split"),
    "index": ("data/cache/index.parquet", open_cache, "preprocess"),
}
WRONG = {
    "a label of 2": ("records", {"Mass": np.array([0, 2, 0], np.uint8)}, "Mass holds other values"),
    "a label of text": ("records", {"Mass": ["no", "yes", "no"]}, "column Mass does not hold"),
    "an image twice": ("records", {"image": ["a", "a", "c"]}, "'a' is twice in column image"),
    "an image without a name": ("records", {"image": ["a", None, "c"]}, "does not hold text"),
    "a box at infinity": ("boxes", {"x": [np.inf]}, "no finite number"),
    "a box of no finding": ("boxes", {"finding": ["Fracture"]}, "'Fracture' is no finding"),
    "a part of another name": ("split", {"split": ["train", "dev", "test"]}, "'dev' is none of"),
    "rows in another order": ("index", {"row": [0, 2, 1]}, "rows are not 0 to 2"),
    "rows of the index too many": ("index", {"row": [0, 1, 3]}, "rows are not 0 to 2"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_table_with_impossible_values_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good_tables()
    name, change, reason = WRONG[wrong]
    path, read, stage = TABLES[name]
    read()
    write_parquet(path, pd.read_parquet(path).assign(**change))
    with pytest.raises(UserError, match=rf"{re.escape(path)} .*{reason}.*`dvc repro {stage}`"):
        read()


def test_what_download_left_is_checked_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good_tables()
    assert read_manifest().image.tolist() == ["NA.png"]
    assert read_facts()["base"] is None
    assert read_source() == Source("nih", phantom=False, official_split=False)
    path = Path("data/raw/tables/manifest.csv")
    path.write_text(path.read_text().replace("0" * 64, "0" * 63))
    with pytest.raises(UserError, match=r"manifest\.csv is damaged: a sha256 .*`dvc repro downl"):
        read_manifest()
    write_json("data/raw/tables/source.json", {"source": "nih", "phantom": False, "base": None})
    with pytest.raises(
        UserError, match=r"source\.json is damaged: it lacks table_files, table_sha256"
    ):
        read_facts()
    write_json(
        "data/records/source.json", {"source": "nih", "phantom": "no", "official_split": False}
    )
    with pytest.raises(UserError, match="phantom and official_split are true or false"):
        read_source()
    with pytest.raises(UserError, match=r"`dvc repro patient-split`"):
        read_source()


def test_fewer_pixels_than_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good_tables()
    np.save("data/cache/images.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"\(2, 8, 8\) does not fit the 3 rows .*preprocess`"):
        open_cache()
    np.save("data/cache/images.npy", np.zeros((3, 8, 9), np.uint8))
    with pytest.raises(UserError, match=r"\(3, 8, 9\) does not fit"):
        open_cache()
