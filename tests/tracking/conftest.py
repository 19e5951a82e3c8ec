"""A small trained project as the pipeline would leave it, and an empty MLflow store."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.io import write_csv, write_json, write_metrics, write_npy, write_parquet
from cxr14.labels import CLASSES, LABEL_COLUMNS
from cxr14.metrics.auroc import auroc
from cxr14.serving.description import OPERATING_POINT, ServingDescription, write_description
from cxr14.serving.input_check import InputCheck

SIDE = 64
IMAGES = 40
EPOCHS = 3
PLATT = {"slope": 0.5, "intercept": -1.0}
MLFLOW_WARNINGS = (
    "The ``noload`` loader strategy is deprecated",
    ".*Any type hint is inferred as AnyType",  # while mlflow imports itself
)


def train_fake(root: Path, backbone: str, score: float, seed: int) -> None:
    """Write every file that train, evaluate and localize leave of a (random) network."""
    import torch

    from cxr14.models.network import build_network
    from cxr14.models.serialization import load_model, save_model

    head = {"transition_channels": 8, "pooling": "avg", "lse_r": 10.0, "output_stride": 32}
    network = build_network(backbone, **head, seed=seed)
    with torch.no_grad():
        network.prediction.weight.mul_(100)  # so that images get clearly different scores
    save_model(
        root / "models" / backbone,
        network,
        {
            "backbone": backbone,
            "input_size": 64,
            "head": head,
            "source": "phantom",
            "phantom": True,
            "params": {"train": {"epochs": EPOCHS, "augment": {"flip": 0.0}}},
            "epochs": EPOCHS,
            "best_epoch": EPOCHS,
            "validation_macro_auroc": score,
            "inputs": {"data/cache/images.npy": "of both"},
            "run_identity": f"{seed:064x}",
        },
    )
    history = pd.DataFrame({"epoch": range(1, EPOCHS + 1), "loss": [3.0, 2.0, 1.0]})
    history = history.assign(learning_rate=0.1, validation_macro_auroc=[0.5, 0.6, 0.7])
    write_csv(root / "plots/train" / f"{backbone}.csv", history)
    measure_fake(root / "metrics", backbone)
    write_csv(root / "plots/evaluate" / backbone / "roc.csv", history)
    write_description(root / "serving" / f"{backbone}.json", serving_fake(backbone))
    thresholds = dict.fromkeys(CLASSES, 0.5) | {"Hernia": None}
    scaling = dict.fromkeys(CLASSES, PLATT) | {"Hernia": None}
    decision = {"format": 1, "thresholds": thresholds, "platt": scaling}
    decision["reasons"] = {"Hernia": "validation holds no positives"}
    write_json(root / "evaluation" / backbone / "decision.json", decision)
    network, _ = load_model(root / "models" / backbone)
    predict_fake(root, backbone, network)


def serving_fake(name: str) -> ServingDescription:
    """Describe the heatmaps of the default params."""
    heatmaps = {"method": "gradcam", "layer": "last", "smoothing": 0.0, "scaling": "per_map"}
    heatmaps |= {"size": "train", "heat_thresholds": [60, 180], "heat_scale": None}
    facts = {"format": 1, "name": name, "source": "phantom", "phantom": True}
    facts |= {"official_split": False, "cached_size": SIDE, "operating_point": OPERATING_POINT}
    return ServingDescription.model_validate(facts | {"heatmaps": heatmaps})


def measure_fake(metrics: Path, backbone: str) -> None:
    """Write headline numbers and tables of details; Hernia cannot be scored."""
    headline = {"phantom": 1, "macro_auroc": 0.7}
    write_metrics(metrics / "evaluate" / f"{backbone}.json", headline)
    scores = {"auroc": [0.75, None], "auroc_low": [0.7, None], "positives": [4, 0]}
    findings = pd.DataFrame({"finding": ["Mass", "Hernia"], **scores, "reason": [None, "none"]})
    write_csv(metrics / "evaluate" / backbone / "findings.csv", findings)
    headline = {"phantom": 1, "boxed_images": 3}
    write_metrics(metrics / "localize" / f"{backbone}.json", headline)
    ends = {"metric": ["mean_pointing"], "value": [0.4], "low": [0.3], "high": [0.5]}
    write_csv(metrics / "localize" / backbone / "headline.csv", pd.DataFrame(ends))
    rows = [
        (measure, limit, heat, finding, 0.5 if heat == "pooled" else 0.25, 1.5)
        for measure, limit in (("iobb", 0.1), ("iobb", 0.25), ("iou", 0.1))
        for heat in ("60", "pooled")
        for finding in ("Mass", "mean")
    ]
    columns = ["measure", "overlap_threshold", "heat_threshold", "finding", "accuracy", "afp"]
    accuracy = pd.DataFrame(rows, columns=columns)
    write_csv(metrics / "localize" / backbone / "accuracy.csv", accuracy)
    pointing = {"method": ["gradcam", "random"], "finding": "Mass", "pointing": [0.4, 0.1]}
    write_csv(metrics / "localize" / backbone / "pointing.csv", pd.DataFrame(pointing))


def split_fake() -> pd.DataFrame:
    """Every image of the cache, half in val and half in test."""
    names = [f"{number}.png" for number in range(IMAGES)]
    parts = ["val", "test"] * (IMAGES // 2)
    return pd.DataFrame({"image": names, "patient": range(IMAGES), "split": parts})


def predict_fake(root: Path, backbone: str, network) -> None:
    """Predict straight with torch, so that the pyfunc is checked against something else."""
    import torch

    from cxr14.evaluation.predictions import prediction_table
    from cxr14.models.inference import prepare

    images = np.load(root / "data/cache/images.npy")
    with torch.inference_mode():
        logits = network(prepare(torch.from_numpy(images), 64))
    table = prediction_table(split_fake()[["image", "split"]], logits.numpy(), network.classes)
    # Another order than the cache's: rows must be matched by name.
    write_parquet(root / "predictions" / f"{backbone}.parquet", table[::-1])


def label_fake(root: Path, better: str, worse: str) -> None:
    """Label validation as one network ranks it, for the finding that the other ranks worst."""
    networks = [pd.read_parquet(root / f"predictions/{name}.parquet") for name in (better, worse)]
    first, second = (rows.set_index("image").sort_index() for rows in networks)
    val = first["split"] == "val"
    scores = {}
    for name in CLASSES[:-1]:
        logits = first[f"logit {name}"]
        labels = (logits > logits[val].median()).astype(int)
        scores[name] = auroc(labels[val].to_numpy(), second.loc[val, f"logit {name}"].to_numpy())
    worst = min(scores, key=scores.__getitem__)
    logits = first[f"logit {worst}"]
    records = pd.DataFrame(0, index=first.index, columns=LABEL_COLUMNS)
    records[worst] = (logits > logits[val].median()).astype(int)
    write_parquet(root / "data/records/images.parquet", records.reset_index())


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, SIDE, SIDE), dtype=np.uint8)
    write_npy(root / "data/cache/images.npy", pixels)
    index = pd.DataFrame({"row": range(IMAGES), "image": [f"{n}.png" for n in range(IMAGES)]})
    write_parquet(root / "data/cache/index.parquet", index)
    write_parquet(root / "data/split/split.parquet", split_fake())
    fitted = InputCheck.fit(pixels, np.arange(IMAGES), np.arange(IMAGES))
    wide = replace(fitted, limits=np.full_like(fitted.limits, 1e6))  # noise is unlike other noise
    wide.save(root / "data/input_check.npz")
    train_fake(root, "alexnet", 0.70, seed=1)
    train_fake(root, "googlenet", 0.65, seed=2)
    label_fake(root, "alexnet", "googlenet")
    return root


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose tables exist (making them takes seconds) and nothing else."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def project(
    tmp_path: Path, trained_once: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project of its own to register, with nothing registered yet, as working directory."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return enter(tmp_path, empty_store, monkeypatch)


@pytest.fixture(scope="session")
def registered_once(
    tmp_path_factory: pytest.TempPathFactory, trained_once: Path, empty_store: Path
) -> Path:
    """A project whose alexnet is registered, and champion; leave it as it is."""
    from cxr14.tracking.artifacts import find_trained
    from cxr14.tracking.registry import register

    root = tmp_path_factory.mktemp("registered")
    shutil.copytree(trained_once, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(root, empty_store, monkeypatch)
        register(find_trained(["alexnet"]))
    return root


@pytest.fixture
def registered(registered_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The registered project as working directory."""
    from cxr14.tracking.store import connect

    enter(registered_once, None, monkeypatch)
    connect()
    return registered_once


def enter(root: Path, store: Path | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project the working directory, with a copy of the store if one is given."""
    if store is not None:
        shutil.copyfile(store, root / "mlflow.db")
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_ROOT", str(root))
    # Its thread would go on after the tests whose run is never ended; test_machine turns it on.
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.chdir(root)
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pass what MLflow's own code warns of; ours still fails on any warning."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in MLFLOW_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{warning}"))
