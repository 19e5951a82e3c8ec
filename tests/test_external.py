"""External sets through the stages: a csv that lacks some findings, a folder in NIH's form, NIH."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from cxr14.config.check import check_params
from cxr14.config.external import read_external
from cxr14.datasets.raw import IMAGE_TABLE
from cxr14.errors import UserError
from cxr14.evaluation.predictions import classes_of, read_predictions
from cxr14.io import read_json
from cxr14.models.network import Network
from cxr14.models.serialization import save_model
from cxr14.preprocessing.cache import open_cache
from stages import download, evaluate, external, external_data, patient_split, preprocess
from tests.conftest import ROOT
from tests.datasets.tables.written import HEADER, image_row, write
from tests.engines import in_process
from tests.external_sets import CITY, TOWN, write_csv_form, write_nih_form

OURS = ("Mass", "Nodule", "No Finding")
HEAD: dict[str, Any] = {
    "transition_channels": 4,
    "pooling": "avg",
    "lse_r": 10.0,
    "output_stride": 32,
}


def set_params(**sets: dict[str, str]) -> None:
    """Write params.yaml with these external sets."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "folder", "folder": "own", "findings": list(OURS)}
    params["preprocess"] |= {"size": 64, "workers": 1}
    params["train"] |= {"backbones": ["alexnet"], "input_size": 64, "overrides": {}}
    params["external"] = sets
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an evaluated network of random weights, and two external sets."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        patch.setattr(preprocess, "choose_engine", lambda *_: in_process)
        write_nih_form(Path("own"), 1, 80)
        write_nih_form(Path("town"), 501, 40)
        write_csv_form(Path("city"), 36)
        set_params(city=CITY, town=TOWN)
        download.main(workers=1)
        patient_split.main()
        preprocess.main()
        torch.manual_seed(0)
        network = Network("alexnet", **HEAD, classes=list(OURS)).eval()
        described = {"backbone": "alexnet", "input_size": 64, "head": HEAD}
        save_model("models/alexnet", network, described)
        evaluate.main("alexnet")
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(external_data, "choose_engine", lambda *_: in_process)
    set_params(city=CITY, town=TOWN)
    return trained


def scored(name: str, **params: dict[str, str]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run both stages on a set; return its headline and its gaps."""
    if params:
        set_params(**params)
    external_data.main(name)
    external.main(name, "alexnet")
    metrics = Path("metrics/external") / name / "alexnet"
    return read_json(f"{metrics}.json"), pd.read_csv(metrics / "gap.csv")


def test_a_csv_set_is_scored_over_the_findings_that_both_label(project: Path) -> None:
    headline, gaps = scored("city")
    assert gaps.finding.unique().tolist() == ["macro", "Mass"]
    assert [headline["images"], headline["patients"]] == [36, 18]
    assert headline["shared_findings"] == 1
    assert headline["images_also_in_training"] == 0
    rows = read_predictions("external/city/alexnet.parquet")
    assert classes_of(rows) == OURS
    assert rows["split"].unique().tolist() == ["test"]
    findings = pd.read_csv("metrics/external/city/alexnet/findings.csv")
    decision = json.loads(Path("evaluation/alexnet/decision.json").read_text())
    assert findings.threshold.tolist() == pytest.approx([decision["thresholds"]["Mass"]], rel=1e-5)
    ours = pd.read_csv("metrics/evaluate/alexnet/findings.csv").set_index("finding")
    assert gaps.ours[1] == pytest.approx(ours.auroc["Mass"], abs=1e-4)


def test_a_policy_for_uncertain_labels_is_that_of_the_set(project: Path) -> None:
    scored("city", city=CITY | {"uncertain": "ignore"})
    findings = pd.read_csv("metrics/external/city/alexnet/findings.csv")
    assert findings[["images", "positives"]].to_numpy().tolist() == [[24, 12]]
    issues = pd.read_csv("data/external/city/issues.csv")
    (detail,) = issues.loc[issues["issue"] == "uncertain labels", "detail"]
    assert detail.endswith("read by external.city.uncertain = ignore")
    scored("city", city=CITY | {"uncertain": "ones"})
    findings = pd.read_csv("metrics/external/city/alexnet/findings.csv")
    assert findings[["images", "positives"]].to_numpy().tolist() == [[36, 24]]


def test_a_folder_in_nihs_form_is_scored_over_all_classes_of_the_network(project: Path) -> None:
    headline, gaps = scored("town")
    assert gaps.finding.unique().tolist() == ["macro", *OURS]
    assert headline["images"] == 40
    images, index = open_cache("data/external/town/cache")
    assert len(images) == len(index) == 40


def test_training_images_in_a_set_are_counted_and_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = pd.read_parquet("data/split/split.parquet").set_index("image")["split"]
    learnt = split.index[split != "test"][:3]
    tested = split.index[split == "test"][:2]
    shutil.copytree("town", "mixed", dirs_exist_ok=True)
    names = pd.read_csv("town/Data_Entry_2017_v2020.csv")["Image Index"]
    for name, image in zip(names, [*learnt, *tested], strict=False):
        shutil.copy(Path("own") / image, Path("mixed") / name)
    headline, _ = scored("mixed", mixed={"source": "folder", "folder": "mixed"})
    assert headline["images_also_in_training"] == 3
    assert "3 images of the set are also in our train or val split" in capsys.readouterr().out


def test_a_set_that_shares_no_finding_is_refused_before_anything_runs(project: Path) -> None:
    mapping = yaml.safe_load(Path("city/city.yaml").read_text())
    mapping["findings"] = {"Edema": ["lump"]}
    Path("city/edema.yaml").write_text(yaml.safe_dump(mapping))
    set_params(city=CITY | {"mapping": "city/edema.yaml"})
    with pytest.raises(UserError, match=r"external\.city: the mapping .* labels Edema, and none"):
        check_params()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("chexprt", r"^params\.yaml: external\.city\.mapping = 'chexprt': no ready mapping has"),
        ("absent.yaml", r"^params\.yaml: external\.city\.mapping: .*absent\.yaml does not exist"),
        ("city/bad.yaml", r"^params\.yaml: external\.city\.mapping: .*bad\.yaml: .*findings"),
    ],
)
def test_a_wrong_mapping_is_named_by_the_key_of_its_set(
    project: Path, mapping: str, message: str
) -> None:
    Path("city/bad.yaml").write_text("columns: {image: file}\n")
    set_params(city=CITY | {"mapping": mapping})
    with pytest.raises(UserError, match=message) as caught:
        check_params()
    assert "data.mapping" not in str(caught.value)


@pytest.mark.parametrize("folder", ["own", "./own", "town/../own"])
def test_the_training_set_is_no_external_set(project: Path, folder: str) -> None:
    set_params(mine={"source": "folder", "folder": folder})
    with pytest.raises(UserError, match=r"external\.mine is the training set \(own\)"):
        check_params()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"a/b": TOWN}, "'a/b' is no name of an external set"),
        ({"..": TOWN}, "is no name of an external set"),
        ({"x": TOWN | {"tabel": "y"}}, r"external\.x\.tabel = 'y': unknown key"),
        ({"x": {"source": "csv", "folder": "city"}}, "source csv needs table, mapping too"),
        ({"x": TOWN | {"table": "y.csv"}}, "table and mapping are for source csv"),
        ({"x": {"source": "phantom", "folder": "y"}}, r"external\.x\.source = 'phantom'"),
    ],
)
def test_a_wrong_block_is_refused_with_its_key(
    project: Path, sets: dict[str, dict[str, str]], message: str
) -> None:
    set_params(**sets)
    with pytest.raises(UserError, match=message):
        read_external()


def test_errors_of_a_set_name_its_own_keys_and_its_stage(project: Path) -> None:
    set_params(city=CITY | {"folder": "nowhere"})
    with pytest.raises(UserError, match=r"external set city: .*\(external\.city\.folder\)"):
        external_data.main("city")
    with pytest.raises(UserError, match=r"external has no set 'town'; it has city"):
        external_data.main("town")


def test_a_changed_table_of_a_set_is_noticed(project: Path) -> None:
    shutil.copytree("city", "changing", dirs_exist_ok=True)
    table = Path("changing/city.csv")
    set_params(village=CITY | {"folder": "changing", "table": str(table)})
    external_data.main(check=True)  # not read yet
    external_data.main("village")
    external_data.main(check=True)
    table.write_text(table.read_text().replace("scan3.png,p1,1", "scan3.png,p1,0"))
    renew = "dvc repro --force external-data@village"
    with pytest.raises(UserError, match=rf"external\.village\.table\) has changed .*{renew}"):
        external_data.main(check=True)


def test_nihs_own_images_are_an_external_set_too(
    project: Path, nih: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    images = sorted((nih / "images").glob("*.png"))[:4]
    Path("nih").mkdir(exist_ok=True)
    for image in images:
        shutil.copy(image, "nih")
    known = tables[0].set_index("image").loc[[image.name for image in images]]
    rows = [
        image_row(str(name), "Mass" if row.Mass else "No Finding", row.patient)
        for name, row in known.iterrows()
    ]
    write(Path("nih") / IMAGE_TABLE, HEADER, rows)
    headline, gaps = scored("nih", nih={"source": "folder", "folder": "nih"})
    assert headline["images"] == 4
    assert gaps.finding.unique().tolist() == ["macro", *OURS]
    cached, index = open_cache("data/external/nih/cache")
    assert index["source_width"].tolist() == [1024] * 4
    assert cached.std() > 20


def stages_of(folder: Path, sets: dict[str, dict[str, str]]) -> list[str]:
    """Names of the external stages that DVC makes of dvc.yaml."""
    from dvc.repo import Repo

    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"external": sets}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    with Repo(str(folder)) as repo:
        names = [stage.name for stage in repo.index.stages]
    return sorted(name for name in names if name.startswith("external"))


def test_each_set_and_backbone_is_a_stage_and_no_set_is_none(tmp_path: Path) -> None:
    from dvc.repo import Repo

    Repo.init(str(tmp_path), no_scm=True).close()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "chexnext").mkdir()
    assert stages_of(tmp_path, {}) == []
    backbones = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]["backbones"]
    expected = ["external-data@x", *sorted(f"external@x-{name}" for name in backbones)]
    assert stages_of(tmp_path, {"x": TOWN}) == expected
