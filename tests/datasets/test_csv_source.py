"""The source csv: its tables, its images, and the stages on them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr14.config.blocks import DataParams, read_data
from cxr14.config.check import check_params
from cxr14.config.mapping import labelled, read_mapping
from cxr14.datasets.csv_inputs import check_inputs
from cxr14.datasets.issues import read_issues
from cxr14.datasets.raw import FACTS, IMAGE_TABLE, MANIFEST, RAW_ISSUES
from cxr14.datasets.records import read_boxes, read_records
from cxr14.datasets.source import write_csv_source
from cxr14.errors import UserError
from cxr14.io import read_json
from cxr14.labels import CLASSES, FINDINGS
from stages import download, patient_split, preprocess
from tests.conftest import ROOT
from tests.datasets.pictures import some_pngs, write_archive, write_loose
from tests.engines import in_process

PNGS = {f"scan{n}.png": png for n, png in enumerate(some_pngs(6).values())}
MAPPING = {
    "columns": {"image": "file", "patient": "who"},
    "findings": {"Mass": ["lump"], "Nodule": ["spot"]},
}


def write_params(root: Path, **data: object) -> DataParams:
    """Write params.yaml with these keys of `data`, and read it there."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "csv", "folder": "images", "findings": ["Mass", "Nodule"]} | data
    params["preprocess"] |= {"size": 32, "workers": 1}
    params["split"]["val_fraction"] = 0.3
    params["train"] |= {"input_size": 32, "overrides": {}}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return read_data()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataParams:
    """A table of six images; the first is in a folder, two are in an archive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    names = list(PNGS)
    write_loose(Path("images/deep"), {names[0]: PNGS[names[0]]})
    write_archive(Path("images/some.tar"), {name: PNGS[name] for name in names[1:3]})
    write_loose(Path("images"), {name: PNGS[name] for name in names[3:]})
    rows = [f"{name},p{n // 2},{n % 2},{n % 3 % 2}" for n, name in enumerate(names[:5])]
    rows[0] = rows[0].replace(names[0], f"deep/{names[0]}").replace(".png", ".dcm")
    rows.append("absent.png,p9,0,0")
    Path("mine.csv").write_text("\n".join(["file,who,lump,spot", *rows]) + "\n")
    Path("mine.yaml").write_text(yaml.safe_dump(MAPPING))
    return write_params(tmp_path, table="mine.csv", mapping="mine.yaml")


def test_images_are_found_by_path_or_name_in_folders_and_archives(project: DataParams) -> None:
    counts = write_csv_source(Path("tables"), Path("archives"), project, Path.cwd())
    assert counts["images"] == 5
    assert counts["images_in_no_table"] == counts["rows_without_image"] == 1
    manifest = pd.read_csv(Path("tables") / MANIFEST, keep_default_na=False)
    assert manifest.image.tolist() == list(PNGS)[:5]
    assert manifest.container.tolist() == ["", "some.tar", "some.tar", "", ""]
    issues = read_issues(Path("tables") / RAW_ISSUES)
    assert issues.issue.tolist() == ["in no table", "no image"]
    assert issues.name.tolist() == [list(PNGS)[5], "absent.png"]
    assert read_json(Path("tables") / FACTS)["classes"] == ["Mass", "Nodule"]


def test_a_change_of_table_or_mapping_is_noticed(project: DataParams) -> None:
    write_csv_source(Path("tables"), Path("archives"), project, Path.cwd())
    facts = read_json(Path("tables") / FACTS)
    check_inputs(project, Path.cwd(), facts)
    Path("mine.yaml").write_text(yaml.safe_dump(MAPPING | {"keep": {"who": ["p0"]}}))
    with pytest.raises(UserError, match=r"mine.yaml \(data.mapping\) has changed"):
        check_inputs(project, Path.cwd(), facts)
    Path("mine.yaml").unlink()
    with pytest.raises(UserError, match=r"mine.yaml \(data.mapping\) is missing"):
        check_inputs(project, Path.cwd(), facts)


def test_another_table_in_params_is_no_change_of_the_one_that_was_read(project: DataParams) -> None:
    """The stage will run, as its param changed."""
    write_csv_source(Path("tables"), Path("archives"), project, Path.cwd())
    facts = read_json(Path("tables") / FACTS)
    other = project.model_copy(update={"table": "other.csv"})
    Path("mine.csv").write_text("changed")
    check_inputs(other, Path.cwd(), facts)
    with pytest.raises(UserError, match=r"mine.csv \(data.table\) has changed"):
        check_inputs(project, Path.cwd(), facts)


def test_a_folder_without_any_of_the_images_is_an_error(project: DataParams) -> None:
    Path("mine.csv").write_text("file,who,lump,spot\nelsewhere/x.png,p1,1,0\n")
    with pytest.raises(
        UserError, match=r"none of the 1 images .* first elsewhere/x; a file there is "
    ):
        write_csv_source(Path("tables"), Path("archives"), project, Path.cwd())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"findings": "all"}, r"data.findings names .*Hernia.* set data.findings to \[Mass, Nod"),
        ({"mapping": "chexprt"}, "no ready mapping has this name"),
        ({"mapping": "absent.yaml"}, "absent.yaml does not exist"),
        ({"table": None}, "source csv needs data.table too"),
    ],
)
def test_params_are_checked_against_the_mapping(
    project: DataParams, change: dict[str, object], message: str
) -> None:
    keys = {"table": "mine.csv", "mapping": "mine.yaml"} | change
    with pytest.raises(UserError, match=message):
        check_with(keys)


def test_no_finding_is_known_where_all_fourteen_findings_are(project: DataParams) -> None:
    named = {name: [name] for name in FINDINGS}
    Path("all.yaml").write_text(yaml.safe_dump(MAPPING | {"findings": named}))
    check_with({"table": "mine.csv", "mapping": "all.yaml", "findings": "all"})
    assert labelled(read_mapping(Path("all.yaml"))) == CLASSES


def check_with(keys: dict[str, object]) -> None:
    write_params(Path.cwd(), **keys)
    check_params()


def run_stages(root: Path, monkeypatch: pytest.MonkeyPatch, **data: object) -> None:
    """Run the stages from download to preprocess in a folder."""
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setattr(preprocess, "choose_engine", lambda *_: in_process)
    write_params(root, **data)
    download.main(workers=1)
    patient_split.main()
    preprocess.main()


def test_nihs_images_give_the_same_cache_and_split_by_tables_and_by_csv(
    nih: Path, table_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    boxed = {line.partition(",")[0] for line in table_files[1].read_text().splitlines()[1:]}
    tested = set((nih / "test_list.txt").read_text().split())
    names = sorted(path.name for path in (nih / "images").iterdir())
    first = [name for name in names if name.endswith("_000.png") and name not in tested]
    chosen = [*[name for name in names if name in boxed][:2], *first[:6]]
    lines = table_files[0].read_text().splitlines()
    rows = [line for line in lines[1:] if line.partition(",")[0] in chosen]
    images = tmp_path / "images"
    images.mkdir()
    for name in chosen:
        (images / name).symlink_to(nih / "images" / name)
    (tmp_path / "mine.csv").write_text(
        "\n".join([f"{lines[0]},part"] + [f"{r},{split_of(r, tested)}" for r in rows])
    )
    mapping = yaml.safe_load((ROOT / "src/cxr14/datasets/mappings/nih.yaml").read_text())
    mapping["columns"]["split"] = "part"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mapping))
    given = {"folder": str(images), "findings": "all"}
    paths = {"table": str(tmp_path / "mine.csv"), "mapping": str(tmp_path / "mine.yaml")}
    listed = table_files[1].read_text().splitlines()
    kept = [line for line in listed[1:] if line.partition(",")[0] in chosen]
    for file in (tmp_path / "boxes.csv", images / "BBox_List_2017.csv"):
        file.write_text("\n".join([listed[0], *kept]))
    boxes = {"box_table": str(tmp_path / "boxes.csv")}
    run_stages(tmp_path / "csv", monkeypatch, **given, **paths, **boxes)
    (images / IMAGE_TABLE).write_text("\n".join([lines[0], *rows]))
    for name, listed in (("train_val_list.txt", False), ("test_list.txt", True)):
        names_of = [image for image in chosen if (image in tested) == listed]
        (images / name).write_text("\n".join(names_of))
    run_stages(tmp_path / "folder", monkeypatch, **given, source="folder")
    # Records, split and cache are all that training and evaluation read.
    for file in ("records/images.parquet", "records/boxes.parquet", "split/split.parquet"):
        assert (tmp_path / "csv/data" / file).read_bytes() == (
            tmp_path / "folder/data" / file
        ).read_bytes(), file
    for file in ("images.npy", "index.parquet"):
        assert (tmp_path / "csv/data/cache" / file).read_bytes() == (
            tmp_path / "folder/data/cache" / file
        ).read_bytes(), file
    assert len(np.load("data/cache/images.npy", mmap_mode="r")) == len(chosen)
    assert len(read_boxes()) >= 2


def split_of(row: str, tested: set[str]) -> str:
    return "test" if row.partition(",")[0] in tested else "train"


def test_drawn_images_under_chexperts_names_go_through_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    heading = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Consolidation,"
    rows = [heading + "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion"]
    pngs = list(some_pngs(12).values())
    for n, png in enumerate(pngs):
        path = f"C/train/patient{n:05d}/study1/view1_frontal.jpg"
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(png)
        edema = ("1.0", "-1.0", "", "0.0")[n % 4]
        rows.append(f"{path},Male,50,Frontal,AP,,{n % 2}.0,{edema},,,,,")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    data = {"table": "../train.csv", "mapping": "chexpert", "uncertain": "ignore"}
    run_stages(
        tmp_path / "run", monkeypatch, folder="..", **data, findings=["Cardiomegaly", "Edema"]
    )
    records = read_records()
    assert records.Edema.tolist() == [1, -1, 0, 0] * 3
    assert (records.Hernia == -1).all()
    assert len(np.load("data/cache/images.npy", mmap_mode="r")) == 12
