"""Test-time augmentation: the mean over views, beside the image alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from cxr14.datasets.records import write_source
from cxr14.errors import UserError
from cxr14.evaluation.predictions import logit_of_mean, read_predictions
from cxr14.evaluation.tta import score_views, tta_rows
from cxr14.io import read_csv, read_json
from cxr14.labels import LABEL_COLUMNS, label_matrix
from cxr14.metrics.auroc import macro_auroc
from cxr14.report.summary import read_headline, tta_remark
from cxr14.report.terminal import findings_table
from tests.sources import PHANTOM

CLASSES = ("Effusion", "Mass", "No Finding")
COUNT = 240


@pytest.fixture(scope="module")
def data():
    """Records, held-out images, and the logits of an image and two views, which are less noisy."""
    rng = np.random.default_rng(0)
    names = [f"{number:03d}.png" for number in range(COUNT)]
    records = pd.DataFrame({"image": names, "patient": np.arange(COUNT) // 2})
    for name in LABEL_COLUMNS:
        records[name] = (rng.random(COUNT) < 0.4).astype(np.uint8)
    listed = pd.DataFrame({"image": names, "split": np.repeat(["val", "test"], COUNT // 2)})
    truth = label_matrix(records, CLASSES)
    logits = np.stack([truth + rng.normal(0, noise, truth.shape) for noise in (3, 1, 1)])
    return records, listed, logits.astype(np.float32)


@pytest.fixture(scope="module")
def rows(data):
    records, listed, logits = data
    table = tta_rows("b", listed, logits[0], logit_of_mean(logits), CLASSES, records)
    return table.set_index("mean")


def auroc_of(data, logits) -> float:
    records, listed, _ = data
    test = (listed["split"] == "test").to_numpy()
    labels = label_matrix(records[test], CLASSES)
    value, _ = macro_auroc(labels, logits[test], CLASSES)
    assert value is not None
    return value


def test_the_rows_hold_the_image_alone_and_the_difference_with_its_interval(data, rows):
    alone, mean = auroc_of(data, data[2][0]), auroc_of(data, logit_of_mean(data[2]))
    assert rows.loc["macro_auroc_without_tta", "value"] == pytest.approx(alone)
    paired = rows.loc["macro_auroc_tta_difference"]
    assert paired["value"] == pytest.approx(mean - alone)
    assert 0 < paired["low"] < paired["value"] < paired["high"]
    assert paired["findings"] == 2
    assert [name.split("_")[0] for name in rows.index] == ["macro"] * 6


def test_views_that_are_the_image_itself_change_nothing(data):
    records, listed, logits = data
    same = logit_of_mean(np.stack([logits[0]] * 3))
    table = tta_rows("b", listed, logits[0], same, CLASSES, records).set_index("mean")
    assert table.loc["macro_auroc_tta_difference", ["value", "low", "high"]].tolist() == [0, 0, 0]


def test_what_is_written_is_of_the_mean_and_says_what_the_image_alone_gives(
    data, rows, tmp_path, monkeypatch
):
    records, listed, logits = data
    monkeypatch.chdir(tmp_path)
    write_source(PHANTOM)
    scores = score_views("b", listed, logits, CLASSES, records)
    table = read_predictions("predictions/b.parquet", CLASSES, listed)
    probabilities = table[[f"probability {name}" for name in CLASSES]].to_numpy()
    np.testing.assert_allclose(probabilities, expit(logits.astype(float)).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        table["logit Mass"], logit(probabilities[:, 1]), rtol=1e-3, atol=1e-4
    )
    decision = read_json("evaluation/b/decision.json")
    assert decision["tta"] is True
    written = read_csv("metrics/evaluate/b/means.csv", {"mean": "text"}).set_index("mean")
    assert set(rows.index) < set(written.index)
    numbers = read_headline(Path("metrics"), "evaluate", "b")
    gain = numbers["macro_auroc"] - numbers["macro_auroc_without_tta"]
    assert numbers["macro_auroc_tta_difference"] == pytest.approx(gain, abs=2e-4)
    assert numbers["macro_auroc_tta_difference_low"] > 0
    assert tta_remark(numbers).startswith("AUROC .")
    caption = str(findings_table("b", scores, PHANTOM).caption)
    assert tta_remark(numbers) in caption


def test_a_view_without_a_finite_logit_is_refused_by_name(data):
    records, listed, logits = data
    broken = logits.copy()
    broken[2, 5, 1] = np.nan
    with pytest.raises(UserError, match=r"for 1 of 240 images, first 005\.png"):
        score_views("b", listed, broken, CLASSES, records)
