"""The ensemble of all backbones: thresholds and calibration of the mean probability."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from cxr14.errors import UserError
from cxr14.evaluation.evaluate import decide
from cxr14.evaluation.predictions import prediction_table
from cxr14.io import write_json, write_parquet
from cxr14.labels import LABEL_COLUMNS
from cxr14.serving.all_backbones import NAME, decide_together

CLASSES = ("Mass", "Nodule")
IMAGES = 30


@pytest.fixture
def logits(tmp_path: Path) -> dict[str, np.ndarray]:
    """Logits of two backbones for images of val and test, and their files in another order."""
    rng = np.random.default_rng(3)
    listed = pd.DataFrame({"image": [f"{n:02d}.png" for n in range(IMAGES)]})
    listed["split"] = ["val", "test"] * (IMAGES // 2)
    records = listed[["image"]].assign(patient=range(IMAGES), **dict.fromkeys(LABEL_COLUMNS, 0))
    for name in CLASSES:
        records[name] = rng.integers(0, 2, IMAGES)
    write_parquet(tmp_path / "data/records/images.parquet", records)
    made = {}
    for name, step in (("alexnet", 1), ("vgg16", -1)):
        made[name] = rng.normal(size=(IMAGES, 2)).astype(np.float32)
        table = prediction_table(listed, made[name], CLASSES)
        write_parquet(tmp_path / f"predictions/{name}.parquet", table[::step])
        nothing = dict.fromkeys(CLASSES)
        decision = {"thresholds": nothing, "platt": nothing, "reasons": {}}
        write_json(tmp_path / f"evaluation/{name}/decision.json", decision)
    return made


def test_thresholds_and_calibration_are_those_of_the_mean_on_validation(
    tmp_path: Path, logits: dict[str, np.ndarray]
) -> None:
    found = decide_together(["alexnet", "vgg16"], CLASSES, tmp_path)
    labels = pd.read_parquet(tmp_path / "data/records/images.parquet")[[*CLASSES]].to_numpy()
    mean = np.mean([expit(values.astype(float)) for values in logits.values()], axis=0)[::2]
    expected = decide(NAME, labels[::2], logit(mean), mean, CLASSES)
    for name in CLASSES:
        assert found["thresholds"][name] == pytest.approx(expected["thresholds"][name], rel=1e-5)
        assert found["platt"][name] == pytest.approx(expected["platt"][name], rel=1e-3)
    assert "tta" not in found


def test_test_time_augmentation_of_the_predictions_is_noted(
    tmp_path: Path, logits: dict[str, np.ndarray]
) -> None:
    nothing = dict.fromkeys(CLASSES)
    decision = {"thresholds": nothing, "platt": nothing, "reasons": {}, "tta": True}
    write_json(tmp_path / "evaluation/vgg16/decision.json", decision)
    with pytest.raises(UserError, match=r"with and without test-time .* \(without: alexnet\)"):
        decide_together([*logits], CLASSES, tmp_path)
    write_json(tmp_path / "evaluation/alexnet/decision.json", decision)
    assert decide_together([*logits], CLASSES, tmp_path)["tta"] is True


def test_predictions_of_other_images_are_refused(
    tmp_path: Path, logits: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "predictions/vgg16.parquet"
    write_parquet(path, pd.read_parquet(path).iloc[1:])
    with pytest.raises(UserError, match=r"vgg16\.parquet holds 29 images"):
        decide_together([*logits], CLASSES, tmp_path)
