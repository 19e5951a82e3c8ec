"""A small test part, answered by two networks, as the stages before write it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from cxr14.evaluation.measures import Predictions, predictions_of
from cxr14.evaluation.predictions import prediction_table
from cxr14.labels import CLASSES, LABEL_COLUMNS, label_matrix
from cxr14.metrics.bootstrap import Replicates, draw_replicates
from tests.conftest import ROOT

IMAGES, PATIENTS, RESAMPLES = 240, 90, 60


def make_records(images: int = IMAGES, seed: int = 5) -> pd.DataFrame:
    """Records by image: several images a patient, every finding in about a third of them."""
    generator = np.random.default_rng(seed)
    patient = np.sort(generator.integers(0, PATIENTS, images)).astype(np.int32)
    labels = (generator.random((images, len(CLASSES))) < 0.3).astype(np.uint8)
    table = pd.DataFrame(
        {
            "image": [f"{n:08d}_000.png" for n in range(images)],
            "patient": patient,
            "age": pd.array(generator.integers(20, 80, PATIENTS)[patient], dtype="Int32"),
            "sex": np.array(["F", "M"])[patient % 2],
            "view": np.array(["AP", "PA"])[generator.integers(0, 2, images)],
        }
    )
    table[list(LABEL_COLUMNS)] = labels
    return table.set_index("image", drop=False).rename_axis(None)


def make_rows(records: pd.DataFrame, skill: float, seed: int) -> pd.DataFrame:
    """predictions/B.parquet of a network that lifts the logits of what is there by ``skill``."""
    noise = np.random.default_rng(seed).normal(-1, 1, (len(records), len(CLASSES)))
    logits = (noise + skill * label_matrix(records)).astype(np.float32)
    return prediction_table(records[["image"]].assign(split="test"), logits)


def make_decision(**changes: Any) -> dict[str, Any]:
    """evaluation/B/decision.json."""
    return {
        "thresholds": dict.fromkeys(CLASSES, 0.4),
        "platt": {name: {"slope": 0.9, "intercept": 0.1} for name in CLASSES},
        "reasons": {},
    } | changes


@pytest.fixture(scope="session")
def records() -> pd.DataFrame:
    return make_records()


@pytest.fixture(scope="session")
def answers(records: pd.DataFrame) -> dict[str, Predictions]:
    """A good network and a poor one."""
    return {
        "good": predictions_of(make_rows(records, 1.5, 1), make_decision()),
        "poor": predictions_of(make_rows(records, 0.5, 2), make_decision()),
    }


@pytest.fixture(scope="session")
def resamples(records: pd.DataFrame) -> Replicates:
    return draw_replicates(records["patient"].to_numpy(), np.random.default_rng(14), RESAMPLES)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: pd.DataFrame) -> Path:
    """A folder in which `stages.compare` finds what it reads; the current directory."""
    backbones = {"good": 1.5, "poor": 0.5}
    train = (ROOT / "params.yaml").read_text().split("\ntrain:\n")[1].split("\n\n")[0]
    listed = "".join(f"  - {name}\n" for name in backbones)
    head, _, rest = train.partition("  - alexnet\n")
    kept = rest[rest.index("  input_size") : rest.index("  overrides")]
    (tmp_path / "params.yaml").write_text(f"train:\n{head}{listed}{kept}  overrides: {{}}\n")
    monkeypatch.chdir(tmp_path)
    for folder in ("predictions", "data/records", "data/split"):
        Path(folder).mkdir(parents=True)
    for seed, (name, skill) in enumerate(backbones.items()):
        make_rows(records, skill, seed).to_parquet(f"predictions/{name}.parquet")
        Path("evaluation", name).mkdir(parents=True)
        Path("evaluation", name, "decision.json").write_text(json.dumps(make_decision()))
    records.to_parquet("data/records/images.parquet", index=False)
    split = records[["image", "patient"]].assign(split="test")
    split.to_parquet("data/split/split.parquet", index=False)
    Path("data/records/source.json").write_text(
        json.dumps({"source": "phantom", "phantom": True, "official_split": False})
    )
    return tmp_path


def repeated(values: Any, weights: Any) -> Any:
    """The images of a resample, one after the other."""
    return np.repeat(values, np.asarray(weights).astype(int), axis=0)


def platt(logits: Any) -> Any:
    """The scaling of :func:`make_decision`."""
    return expit(np.asarray(logits, np.float64) * 0.9 + 0.1)
