"""Three forms of the same images: PNGs with NIH's tables, PNGs with a user's table, and DICOMs.

Each goes through all stages from download to evaluate, and ends with the same scores.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

import cxr14.tracking.runs
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.evaluation.predictions import read_predictions
from cxr14.io import read_json
from cxr14.labels import FINDINGS
from cxr14.preprocessing.cache import read_index
from stages import download, evaluate, patient_split, preprocess, pretrained, train
from tests.conftest import ROOT
from tests.datasets.dicoms import LOSSLESS, dicom_of_png
from tests.datasets.pictures import encode, noise, write_loose
from tests.engines import in_process

pytestmark = pytest.mark.graph

COUNT, BOXED = 60, 6


class Study(NamedTuple):
    """Images with their records and boxes, and the names of those in test."""

    pngs: dict[str, bytes]
    records: pd.DataFrame
    boxes: pd.DataFrame
    tested: set[str]


@pytest.fixture(params=["noise", "real"])
def study(request: pytest.FixtureRequest, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Study:
    """Sixty images of NIH's table, some of them with boxes: noise, or the real ones."""
    records, boxes = tables
    if request.param == "real":
        folder = request.getfixturevalue("nih") / "images"
        present = records[records["image"].isin([path.name for path in folder.iterdir()])]
        pngs = {name: (folder / name).read_bytes() for name in some_names(present, boxes)}
    else:
        names = some_names(records, boxes)
        pngs = {name: encode(noise(n, 96, 96 + n % 3)) for n, name in enumerate(names)}
    chosen = records[records["image"].isin([*pngs])]
    kept = boxes[boxes["image"].isin([*pngs])]
    patients = chosen.loc[chosen["image"].isin(kept["image"]), "patient"]
    tested = chosen["patient"].isin(patients) | (chosen["patient"] % 3 == 0)
    return Study(pngs, chosen, kept, set(chosen.loc[tested, "image"]))


def some_names(records: pd.DataFrame, boxes: pd.DataFrame) -> list[str]:
    boxed = records["image"].isin(boxes["image"])
    others = records[~boxed]
    rest = others.iloc[:: len(others) // (COUNT - BOXED)]["image"][: COUNT - BOXED]
    return [*records.loc[boxed, "image"][:BOXED], *rest]


def write_nih_tables(folder: Path, study: Study, table_files: tuple[Path, Path]) -> None:
    """Write NIH's two tables and its official lists of these images."""
    for path, name in zip(table_files, (IMAGE_TABLE, BOX_TABLE), strict=True):
        heading, *rows = path.read_text().splitlines()
        kept = [row for row in rows if row.partition(",")[0] in study.pngs]
        (folder / name).write_text("\n".join([heading, *kept]))
    for name, in_test in zip(LISTS, (False, True), strict=True):
        names = [image for image in study.pngs if (image in study.tested) == in_test]
        (folder / name).write_text("\n".join(names))


MAPPING = {
    "columns": {
        **{name: name for name in ("patient", "age", "sex", "view")},
        **{"image": "scan", "follow_up": "visit", "split": "part"},
        **{"width": "original_width", "height": "original_height"},
        **{"spacing_x": "pixel_spacing_x", "spacing_y": "pixel_spacing_y"},
    },
    "findings": {name: [name.lower()] for name in FINDINGS},
    "labels": {"values": {"yes": "positive", "no": "negative"}},
    "values": {"split": {"dev": "train", "final": "test"}},
    "boxes": {"image": "scan", "finding": "what", "x": "left", "y": "top"}
    | {"width": "width", "height": "height"},
}
"""Of tables with headings and values of their own, a column per finding."""


def write_own_tables(folder: Path, study: Study) -> dict[str, str]:
    """Write a table, a table of boxes and their mapping; return the keys of `data`."""
    answers = study.records[[*FINDINGS]].replace({0: "no", 1: "yes"}).rename(columns=str.lower)
    facts = study.records.drop(columns=[*FINDINGS, "no_finding"])
    facts = facts.rename(columns={"image": "scan", "follow_up": "visit"})
    parts = facts["scan"].isin([*study.tested]).map({True: "final", False: "dev"}).rename("part")
    pd.concat([facts, answers, parts], axis=1).to_csv(folder / "scans.csv", index=False)
    names = {"image": "scan", "finding": "what", "x": "left", "y": "top"}
    boxes = study.boxes.assign(finding=study.boxes["finding"].str.lower()).rename(columns=names)
    boxes.to_csv(folder / "boxes.csv", index=False)
    (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    files = {"table": "scans.csv", "box_table": "boxes.csv", "mapping": "mapping.yaml"}
    return {"source": "csv"} | {key: str(folder / name) for key, name in files.items()}


def write_params(**data: str) -> None:
    """Write params.yaml of one small training."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "folder"} | data
    params["preprocess"] |= {"size": 64, "workers": 1}
    params["split"]["val_fraction"] = 0.3
    params["train"] |= {"backbones": ["alexnet"], "input_size": 64, "epochs": 1}
    params["train"] |= {"batch_size": 16, "overrides": {}}
    Path("params.yaml").write_text(yaml.safe_dump(params))


Run = Callable[..., Path]


@pytest.fixture
def run_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the stages in a new folder; return it."""

    def run(name: str, **data: str) -> Path:
        folder = tmp_path / name
        (folder / "chexnext").mkdir(parents=True)
        (folder / "chexnext/params.yaml").symlink_to(ROOT / "chexnext/params.yaml")
        monkeypatch.chdir(folder)
        write_params(**data)
        download.main(workers=1)
        patient_split.main()
        preprocess.main()
        pretrained.main("alexnet")
        train.main("alexnet")
        evaluate.main("alexnet")
        return folder

    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(preprocess, "choose_engine", lambda *_: in_process)
    monkeypatch.setattr(cxr14.tracking.runs, "start_run", lambda *_, **__: None)
    return run


SAME_BYTES = (
    *("data/cache/images.npy", "data/records/images.parquet", "data/records/boxes.parquet"),
    *("data/split/split.parquet", "models/alexnet/weights.safetensors"),
    *("predictions/alexnet.parquet", "evaluation/alexnet/decision.json"),
    *("metrics/train/alexnet.json", "metrics/evaluate/alexnet.json"),
    *("metrics/evaluate/alexnet/findings.csv", "metrics/evaluate/alexnet/means.csv"),
    *("plots/train/alexnet.csv", "plots/evaluate/alexnet/roc.csv"),
)


@pytest.mark.filterwarnings("ignore:no positive or no negative image")
def test_pngs_a_users_table_and_dicoms_give_the_same_scores(
    study: Study, run_stages: Run, table_files: tuple[Path, Path], tmp_path: Path
) -> None:
    pngs, dicoms, own = (tmp_path / name for name in ("pngs", "dicoms", "own tables"))
    write_loose(pngs, study.pngs)
    own.mkdir()
    csv_data = write_own_tables(own, study)
    from_table = run_stages("table", folder=str(pngs), **csv_data)
    write_nih_tables(pngs, study, table_files)
    from_pngs = run_stages("nih", folder=str(pngs))
    syntaxes = ["", *LOSSLESS]
    files = {
        name.replace(".png", ".dcm"): dicom_of_png(png, syntaxes[n % len(syntaxes)])
        for n, (name, png) in enumerate(study.pngs.items())
    }
    write_loose(dicoms, files)
    write_nih_tables(dicoms, study, table_files)
    from_dicoms = run_stages("dicom", folder=str(dicoms))
    for name in SAME_BYTES:
        expected = (from_pngs / name).read_bytes()
        assert (from_table / name).read_bytes() == expected, name
        assert (from_dicoms / name).read_bytes() == expected, name
    models = [
        read_json(f / "models/alexnet/model.json") for f in (from_pngs, from_table, from_dicoms)
    ]
    assert models[1] == models[0] | {"source": "csv"}
    # The index of the cache holds a hash of each file.
    of_files = {name: models[2][name] for name in ("inputs", "run_identity")}
    assert models[2] == models[0] | of_files
    index = Path("data/cache/index.parquet")
    images, of_dicoms = (read_index(folder / index) for folder in (from_pngs, from_dicoms))
    assert len(images) == COUNT
    common = images.columns.drop("sha256")  # DICOMs have their pixel spacing too
    pd.testing.assert_frame_equal(images[common], of_dicoms[common])
    scores = read_predictions(from_pngs / "predictions/alexnet.parquet")
    assert scores["logit Effusion"].nunique() > COUNT // 3
