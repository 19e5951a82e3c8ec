"""The command `cxr14 predict`, on a small trained project and files of its cached pixels."""

import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxr14.cli import app
from cxr14.errors import UserError
from cxr14.evaluation.predictions import read_predictions
from cxr14.labels import CLASSES
from cxr14.serving.models import best_model, served_backbones
from tests.datasets.dicoms import SECRETS, dicom

PHANTOM = "trained on phantom radiographs: says nothing about patients"


@pytest.fixture
def project(trained_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project as working directory; leave it as it is."""
    monkeypatch.setattr("cxr14.cli_predict.project_root", lambda: trained_once)
    # It is for a process whose NumPy is not imported yet, and others of the tests start processes.
    monkeypatch.setattr("cxr14.cli_predict.set_environment", lambda numerics: None)
    monkeypatch.chdir(trained_once)
    return trained_once


def predict(*words: object, code: int = 0) -> Result:
    """Run the command in this process."""
    result = CliRunner().invoke(app, ["predict", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def rows(result: Result) -> pd.DataFrame:
    """What --csv prints."""
    return pd.read_csv(StringIO(result.stdout))


@pytest.mark.parametrize("backbone", ["alexnet", "googlenet"])
def test_predictions_equal_those_of_evaluate(project: Path, films: Path, backbone: str) -> None:
    table = rows(predict(films, "--csv", "--model", f"models/{backbone}", "--force"))
    table["image"] = table["image"].map(lambda name: Path(name).name)
    printed = table.pivot_table(index="image", columns="finding", values="uncalibrated")
    expected = read_predictions(f"predictions/{backbone}.parquet").set_index("image")
    assert len(printed) == len(expected)
    columns = [f"probability {name}" for name in printed.columns]
    np.testing.assert_allclose(printed, expected.loc[printed.index, columns], atol=1e-6, rtol=0)


def test_probabilities_and_thresholds_are_on_the_calibrated_scale(
    project: Path, films: Path
) -> None:
    table = rows(predict(films, "--csv", "--force"))
    logits = np.log(table["uncalibrated"] / (1 - table["uncalibrated"]))
    scaled = 1 / (1 + np.exp(-(0.5 * logits - 1)))  # tests.tracking.conftest.PLATT
    known = table["finding"] != "Hernia"
    np.testing.assert_allclose(table["probability"][known], scaled[known], atol=1e-5)
    np.testing.assert_allclose(table["threshold"][known], 1 / (1 + np.e), atol=1e-6)
    assert table.loc[~known, ["probability", "threshold"]].isna().all(axis=None)
    called = known & (table["uncalibrated"] >= 0.5)
    assert (table["called"][known] == called[known]).all()
    assert table["called"][~known].isna().all()  # it has no threshold
    assert set(table["phantom"]) == {1}


def test_the_default_is_the_best_model_on_validation(project: Path, films: Path) -> None:
    told = predict(films / "0.png", "--json")
    assert told.stderr.startswith(f"models/alexnet, the best on validation: {PHANTOM}.")
    assert json.loads(told.stdout)["model"] == "models/alexnet"


def test_a_folder_of_a_model_without_its_other_files_is_not_chosen(
    films: Path, trained_once: Path, tmp_path: Path
) -> None:
    for name in ("models", "evaluation", "serving"):
        shutil.copytree(trained_once / name, tmp_path / name)
    assert served_backbones(tmp_path) == ["alexnet", "googlenet"]
    assert best_model(tmp_path).name == "models/alexnet"
    (tmp_path / "serving/alexnet.json").unlink()  # as after train.backbones: [googlenet]
    assert served_backbones(tmp_path) == ["googlenet"]
    assert best_model(tmp_path).name == "models/googlenet"


def test_an_image_gets_a_table_and_many_get_a_row_each(project: Path, films: Path) -> None:
    detail = predict(films / "0.png", "--force").stdout
    assert PHANTOM in detail
    assert "highest F1 on validation" in detail
    assert all(name in detail for name in CLASSES)
    listed = predict(films, "--force").stdout
    assert PHANTOM in listed
    assert all(f"{number}.png" in listed for number in range(40))


def test_json_is_an_object_a_line_with_every_finding(project: Path, films: Path) -> None:
    lines = predict(films, "--json", "--force").stdout.splitlines()
    objects = [json.loads(line) for line in lines]
    assert len(objects) == 40
    assert all(entry["phantom"] is True for entry in objects)
    assert list(objects[0]["findings"]) == list(CLASSES)
    assert objects[0]["findings"]["Hernia"]["probability"] is None
    decided = json.loads(predict(films / "0.png", "--json", "--decide", "--force").stdout)
    assert "findings" not in decided
    assert decided["called"] == objects[0]["called"]


def test_decide_prints_only_what_is_called(project: Path, films: Path) -> None:
    table = rows(predict(films, "--csv", "--decide", "--force"))
    every = rows(predict(films, "--csv", "--force"))
    called = every[every["called"] == 1].groupby("image")["finding"].agg("; ".join)
    expected = called.reindex(table["image"]).fillna("").tolist()
    assert table["called"].fillna("").tolist() == expected
    assert set(table["phantom"]) == {1}


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels.repeat(16, 0).repeat(16, 1)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_refused_image_has_a_reason_and_no_probability(project: Path, photograph: Path) -> None:
    table = rows(predict(photograph, "--csv"))
    assert table["refusals"].str.startswith("a colour photograph").all()
    assert table[["probability", "uncalibrated", "called"]].isna().all(axis=None)
    assert json.loads(predict(photograph, "--json").stdout)["called"] is None
    assert "refused: a colour photograph" in predict(photograph).stdout


def test_force_scores_a_refused_image_and_says_so(project: Path, photograph: Path) -> None:
    table = rows(predict(photograph, "--csv", "--force"))
    assert table["forced"].all()
    assert table["uncalibrated"].notna().all()
    assert "FORCED, although refused: a colour photograph" in predict(photograph, "--force").stdout


def test_a_file_that_cannot_be_read_stops_no_other_and_gives_code_1(
    project: Path, films: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = predict(tmp_path / "broken.png", films / "1.png", "--csv", "--force", code=1)
    assert set(rows(result)["image"]) == {str(films / "1.png")}
    assert f"error: {tmp_path}/broken.png: not a readable image" in result.stderr
    for words, column in ((["--csv"], "probability"), (["--csv", "--decide"], "scored")):
        table = rows(predict(tmp_path / "broken.png", *words, code=1))
        assert column in table  # a header without rows
        assert not len(table)


def test_overlays_and_boxes_are_written_for_what_is_called(
    project: Path, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = films / "[1-5].png", "--model", "models/googlenet"  # AlexNet's maps have one cell here
    result = predict(*words, "--csv", "--force", "--heatmaps", out)
    table = rows(result)
    called = table[(table["called"] == 1) & (table["finding"] != "No Finding")]
    expected = {f"{Path(row.image).stem}-{row.finding}.png" for row in called.itertuples()}
    assert expected
    assert {path.name for path in out.glob("*.png")} == expected
    boxes = pd.read_csv(out / "boxes.csv")
    assert set(boxes["overlay"]) <= expected
    assert set(boxes["heat_threshold"]) == {60, 180}
    assert set(boxes["phantom"]) == {1}
    assert (boxes["x"] + boxes["width"]).max() <= 64
    with Image.open(out / min(expected)) as picture:
        assert picture.size[0] == 768


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_scored(
    project: Path, films: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=r"^--heatmaps .*out: no folder can be made there \(File"):
        predict(films / "0.png", "--heatmaps", tmp_path / "out")


def test_the_overlay_of_a_long_name_is_written(project: Path, films: Path, tmp_path: Path) -> None:
    film = tmp_path / f"{'ä' * 120}.png"
    shutil.copyfile(films / "2.png", film)
    predict(film, "--force", "--heatmaps", tmp_path / "out", "--finding", "Mass")
    (overlay,) = (tmp_path / "out").glob("*.png")
    assert overlay.name == f"{'ä' * 100}-Mass.png"


def test_a_named_finding_is_drawn_on_every_image(
    project: Path, films: Path, tmp_path: Path
) -> None:
    words = films / "2.png", films / "3.png", "--force", "--heatmaps", tmp_path, "--finding", "Mass"
    predict(*words)
    assert {path.name for path in tmp_path.glob("*.png")} == {"2-Mass.png", "3-Mass.png"}


def test_the_boxes_of_a_forced_image_say_so(project: Path, films: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 200), 99, np.uint8)).save(tmp_path / "blank.png")
    words = "--force", "--model", "models/googlenet", "--heatmaps", tmp_path, "--finding", "Mass"
    predict(tmp_path / "blank.png", films / "[1-5].png", *words)
    boxes = pd.read_csv(tmp_path / "boxes.csv").groupby("image")["forced"].agg(["min", "max"])
    for image, forced in boxes.iterrows():
        assert set(forced) == {int(str(image).endswith("blank.png"))}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--csv", "--json"], "exclude each other"),
        (["--finding", "Mass"], "needs --heatmaps"),
        (["--heatmaps", "out", "--finding", "Masses"], "--finding Masses: no finding of this"),
        (["--model", "models/vgg19"], "--model models/vgg19: no trained model"),
    ],
)
def test_a_wrong_option_is_refused(
    project: Path, films: Path, words: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predict(films / "0.png", *words)


def test_nothing_that_identifies_a_patient_reaches_output_or_logs(
    trained_once: Path, tmp_path: Path
) -> None:
    """In a process of its own, which sees warnings and logs as a user does."""
    pixels = np.load(trained_once / "data/cache/images.npy")[0]
    content = dicom(pixels, ViewPosition="LL")
    (tmp_path / "a.dcm").write_bytes(content)
    (tmp_path / "b.dcm").write_bytes(content.replace(b"19170317", b"1917031x"))
    (tmp_path / "c.dcm").write_bytes(dicom(pixels, Modality="CT"))
    (tmp_path / "d.dcm").write_bytes(content[:-9])
    out = tmp_path / "out"
    words = ["predict", tmp_path, "--model", trained_once / "models/alexnet", "--force"]
    command = [sys.executable, "-m", "cxr14.cli", *map(str, words), "--heatmaps", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr + (out / "boxes.csv").read_text()
    assert done.returncode == 1, printed
    assert "a lateral view by its DICOM header" in printed
    assert "of modality CT" in printed
    assert not [secret for secret in (*SECRETS, "1917031") if secret in printed]
    assert all(
        secret.encode() not in path.read_bytes() for path in out.iterdir() for secret in SECRETS
    )


def test_the_command_imports_no_package_that_it_does_not_need(films: Path) -> None:
    from tests.loaded import loaded

    then = "import cxr14.serving.input_check, cxr14.serving.files, cxr14.serving.results"
    unneeded = {"mlflow", "matplotlib", "sklearn", "nibabel", "scipy.stats", "dvc", "timm"}
    assert loaded(["cxr14.cli"], unneeded, then) == set()
    assert loaded(["cxr14.cli"], {"torch", "numpy", "pandas"}) == set()
