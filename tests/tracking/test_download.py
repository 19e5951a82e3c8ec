"""A registered model is downloaded with all that predictions need."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxr14.cli import app
from cxr14.errors import UserError
from cxr14.serving.description import read_serving
from cxr14.serving.predictor import Predictor
from cxr14.tracking.download import download_model


def test_the_champion_predicts_as_the_model_that_was_registered(
    registered: Path, tmp_path: Path
) -> None:
    found = download_model("models:/cxr14@champion", tmp_path)
    predictor = Predictor.load(found.folders, found.decision, read_serving(found.description))
    predictions = predictor.predict(np.load("data/cache/images.npy"))
    table = pd.read_parquet("predictions/alexnet.parquet").set_index("image")
    expected = table.loc[[f"{row}.png" for row in range(len(table))]]
    columns = [f"probability {name}" for name in predictions.classes]
    np.testing.assert_allclose(predictions.probabilities, expected[columns], atol=1e-6, rtol=0)
    assert found.input_check.is_file()


def test_the_command_predicts_with_the_champion_and_prints_no_more_than_that(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr14.cli_predict.project_root", lambda: registered)
    monkeypatch.setattr("cxr14.cli_predict.set_environment", lambda numerics: None)
    Image.fromarray(np.load("data/cache/images.npy")[3]).save(tmp_path / "3.png")
    words = ["predict", str(tmp_path / "3.png"), "--model", "models:/cxr14@champion"]
    result = CliRunner().invoke(app, [*words, "--json", "--force"], catch_exceptions=False)
    (line,), told = result.stdout.splitlines(), result.stderr.splitlines()
    expected = pd.read_parquet("predictions/alexnet.parquet").set_index("image").loc["3.png"]
    found = json.loads(line)
    assert found["model"] == "models:/cxr14@champion"
    mass = found["findings"]["Mass"]["uncalibrated"]
    assert mass == pytest.approx(expected["probability Mass"], abs=1e-6)
    assert len(told) == 1, told


@pytest.mark.parametrize("uri", ["models:/cxr14@nobody", "models:/cxr14/99", "models:/other/1"])
def test_a_version_that_does_not_exist_is_one_sentence(
    registered: Path, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(UserError, match=f"--model {uri}: .*`cxr14 ui` lists the versions") as told:
        download_model(uri, tmp_path)
    assert "\n" not in str(told.value)
