"""What `register` checks before MLflow gets any of it, as `evaluate` and `compare` check it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxr14.errors import UserError
from cxr14.io import write_json, write_parquet
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import register

MODEL = "models/alexnet/model.json"
DECISION = "evaluation/alexnet/decision.json"
SERVING, INPUT_CHECK = "serving/alexnet.json", "data/input_check.npz"
PREDICTIONS = "predictions/alexnet.parquet"


def edit_json(path: str, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))


def edit_table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    write_parquet(PREDICTIONS, change(pd.read_parquet(PREDICTIONS)))


def cut(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:100])


def append(path: str) -> None:
    with Path(path).open("ab") as file:
        file.write(b"\0")


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "model.json cut": (lambda: cut(MODEL), rf"{MODEL} is damaged: no JSON"),
    "no score": (
        lambda: edit_json(MODEL, lambda m: m.pop("validation_macro_auroc")),
        rf"{MODEL}: validation_macro_auroc: field required",
    ),
    "score is NaN": (
        lambda: edit_json(MODEL, lambda m: m.update(validation_macro_auroc=float("nan"))),
        rf"{MODEL}: validation_macro_auroc: ",
    ),
    "absurd size": (
        lambda: edit_json(MODEL, lambda m: m.update(input_size=10**9)),
        rf"{MODEL}: input_size: .*less than or equal to 1024, not 1000000000",
    ),
    "absurd width": (
        lambda: edit_json(MODEL, lambda m: m["head"].update(transition_channels=10**9)),
        rf"{MODEL}: head\.transition_channels: .*less than or equal to 16384",
    ),
    "no inputs": (lambda: edit_json(MODEL, lambda m: m.update(inputs=None)), f"{MODEL}: inputs: "),
    "other weights": (
        lambda: append("models/alexnet/weights.safetensors"),
        r"weights\.safetensors is not the file that model\.json describes .*`dvc repro train@alex",
    ),
    "no weights": (
        lambda: Path("models/alexnet/weights.safetensors").unlink(),
        r"weights\.safetensors is missing",
    ),
    "decision cut": (lambda: cut(DECISION), rf"{DECISION} is damaged: no JSON.*evaluate@alexnet"),
    "threshold missing": (
        lambda: edit_json(DECISION, lambda d: d["thresholds"].pop("Mass")),
        rf"{DECISION} holds no thresholds for Mass",
    ),
    "threshold NaN": (
        lambda: edit_json(DECISION, lambda d: d["thresholds"].update(Mass=float("nan"))),
        rf"{DECISION} is damaged: thresholds of Mass is nan",
    ),
    "threshold above 1": (
        lambda: edit_json(DECISION, lambda d: d["thresholds"].update(Mass=7)),
        "thresholds of Mass is 7",
    ),
    "scaling without slope": (
        lambda: edit_json(DECISION, lambda d: d["platt"].update(Mass={"intercept": 1})),
        "platt of Mass is ",
    ),
    "no description": (
        lambda: Path(SERVING).unlink(),
        rf"{SERVING} is missing.*`dvc repro serving`",
    ),
    "absurd cache": (
        lambda: edit_json(SERVING, lambda s: s.update(cached_size=10**9)),
        rf"{SERVING}: .*cached_size",
    ),
    "input check cut": (lambda: cut(INPUT_CHECK), rf"{INPUT_CHECK} is damaged"),
    "predictions cut": (lambda: cut(PREDICTIONS), rf"{PREDICTIONS} is damaged: no parquet file"),
    "predictions empty": (lambda: Path(PREDICTIONS).write_bytes(b""), rf"{PREDICTIONS} is empty"),
    "other images": (lambda: edit_table(lambda t: t.iloc[1:]), "holds 39 images and the split 40"),
    "other parts": (
        lambda: edit_table(lambda t: t.assign(split="test")),
        "the first that differs is",
    ),
    "an image twice": (
        lambda: edit_table(lambda t: pd.concat([t, t.iloc[:1]])),
        "is twice in column image",
    ),
    "other classes": (
        lambda: edit_table(lambda t: t.drop(columns=["logit Mass", "probability Mass"])),
        "is of the classes",
    ),
    "probability NaN": (
        lambda: edit_table(lambda t: t.assign(**{"probability Mass": float("nan")})),
        "a probability Mass is no finite number",
    ),
    "probability 2": (
        lambda: edit_table(lambda t: t.assign(**{"probability Mass": 2.0})),
        "a probability Mass is not within 0 and 1",
    ),
    "probability text": (
        lambda: edit_table(lambda t: t.assign(**{"probability Mass": "high"})),
        "no column probability Mass of numbers",
    ),
    "metrics cut": (
        lambda: cut("metrics/evaluate/alexnet.json") or append("metrics/evaluate/alexnet.json"),
        r"metrics/evaluate/alexnet\.json is damaged",
    ),
    "metrics a list": (lambda: write_json("metrics/localize/alexnet.json", []), "of an object"),
    "table of another stage": (
        lambda: Path("metrics/localize/alexnet/accuracy.csv").write_text("a,b\n1,2\n"),
        r"accuracy\.csv is damaged: it lacks the column measure",
    ),
    "history of text": (
        lambda: Path("plots/train/alexnet.csv").write_text("epoch,loss\none,2\n"),
        "column epoch does not hold integer values only",
    ),
    "split cut": (
        lambda: cut("data/split/split.parquet"),
        r"data/split/split\.parquet is damaged: .*`dvc repro patient-split`",
    ),
    "cache cut": (
        lambda: cut("data/cache/images.npy"),
        r"data/cache/images\.npy is damaged: .*`dvc repro preprocess`",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_artifact_is_one_sentence_and_mlflow_gets_nothing(
    project: Path, fault: str
) -> None:
    damage, reason = FAULTS[fault]
    store = (project / "mlflow.db").read_bytes()
    damage()
    with pytest.raises(UserError, match=reason) as caught:
        register(find_trained(["alexnet"]))
    assert "\n" not in str(caught.value)
    assert (project / "mlflow.db").read_bytes() == store
    assert not (project / "mlruns").exists()


def test_whole_artifacts_pass_the_same_checks(project: Path) -> None:
    found = find_trained(["alexnet", "googlenet"])
    for trained in found:
        trained.check()
    assert [trained.backbone for trained in found] == ["alexnet", "googlenet"]
