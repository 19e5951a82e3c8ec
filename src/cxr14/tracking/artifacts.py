"""Trained backbones and ensembles, read from the artifacts of the pipelines."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from cxr14.datasets.records import read_split, records_of
from cxr14.errors import UserError
from cxr14.evaluation.predict import held_out
from cxr14.evaluation.predictions import read_decision, read_predictions
from cxr14.io import read_csv, read_numbers, sha256, unusable
from cxr14.models.serialization import DESCRIPTION, ModelDescription, check_weights, read_described
from cxr14.preprocessing.cache import open_cache
from cxr14.serving.description import ServingDescription, read_serving
from cxr14.serving.input_check import InputCheck
from cxr14.tracking.runs import flatten
from cxr14.tracking.table_metrics import COLUMNS, table_metrics

MEASURES = ("evaluate", "localize")
"""Stages whose metrics and plots belong to a trained model."""


class TrainedDescription(ModelDescription):
    """The keys of model.json that MLflow shows."""

    source: str
    phantom: bool
    run_identity: str = Field(min_length=1)
    validation_macro_auroc: float = Field(ge=0, le=1, allow_inf_nan=False)
    inputs: dict[str, str]
    params: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A trained backbone and its artifacts.

    Attributes:
        backbone: name of its files below `root`.
        root: of the pipeline.
        model: content of model.json.
        folders: of its networks, with weights.safetensors and model.json; several in an ensemble.
        sets: names of the external sets that it is scored on.
    """

    backbone: str
    root: Path
    model: dict[str, Any]
    folders: tuple[Path, ...]
    sets: tuple[str, ...]

    @property
    def stage(self) -> str:
        """Name of the DVC stage that trained it."""
        return f"train@{self.backbone}"

    @property
    def script(self) -> str:
        """Source file of that stage."""
        return "stages/train.py"

    @property
    def decision(self) -> Path:
        """Thresholds and Platt scaling, written by evaluate."""
        return self.root / "evaluation" / self.backbone / "decision.json"

    @property
    def predictions(self) -> Path:
        """Probabilities of every image of val and test, written by evaluate."""
        return self.root / "predictions" / f"{self.backbone}.parquet"

    @property
    def input_check(self) -> Path:
        """Check of new images, fitted on train and validation; the same for all models."""
        return self.root / "data" / "input_check.npz"

    def serving(self) -> ServingDescription:
        """Return how to serve it, as written by the stage `serving`.

        Raises:
            UserError: the file is missing or damaged.
        """
        return read_serving(self.root / "serving" / f"{self.backbone}.json")

    @property
    def cache(self) -> Path:
        """Image cache of the predictions."""
        return self.root / "data" / "cache"

    @property
    def split(self) -> Path:
        """Split table, which defines the images of the predictions."""
        return self.root / "data" / "split" / "split.parquet"

    @property
    def records(self) -> Path:
        """Table of the labels on which validation and test are scored."""
        return self.root / "data" / "records" / "images.parquet"

    @property
    def identity(self) -> str:
        """Hash of everything that determined the training."""
        return str(self.model["run_identity"])

    @property
    def score(self) -> float:
        """Macro AUROC on validation."""
        return float(self.model["validation_macro_auroc"])

    @property
    def scored_on(self) -> dict[str, str]:
        """SHA-256 of the files that define the evaluation data: images, records and split."""
        inputs = self.model["inputs"].items()
        return {name: digest for name, digest in inputs if "pretrained" not in name}

    @property
    def evaluated(self) -> bool:
        """Whether evaluate has run; only evaluated models are registered."""
        return self.decision.exists() and self.predictions.exists()

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of weights and data, and of all else that a version consists of.

        The rest exists once the model is evaluated. Scores are comparable if the hash of the data,
        which includes the classes, is equal.
        """
        data = self.scored_on | {"classes": self.model["classes"]}
        known = {"weights_sha256": self.model["weights_sha256"], "data_sha256": _hash(data)}
        if self.evaluated:
            known["decision_sha256"] = sha256(self.decision)
            known["serving_sha256"] = _hash(self.serving().model_dump())
            known["input_check_sha256"] = sha256(self.input_check)
        return known

    def history(self) -> list[dict[str, float]]:
        """Return one row per epoch (epoch, loss, learning_rate, validation_macro_auroc)."""
        path = self.root / "plots" / "train" / f"{self.backbone}.csv"
        if not path.exists():
            return []
        rows = read_csv(path, {"epoch": "integer", "loss": "number"}).to_dict(orient="records")
        return [{str(name): float(value) for name, value in row.items()} for row in rows]

    def metrics(self) -> dict[str, float]:
        """Return the metrics of train, evaluate, localize and external sets without nulls.

        MLflow groups charts by all but the last part of a name and cuts long titles, hence
        ``evaluate/macro_auroc``, ``auroc/Mass``, ``localize/iobb/mean_accuracy/t10``,
        ``external/SET/macro_auroc``.
        """
        best = {"best_epoch": "best_epoch", "best_validation_macro_auroc": "validation_macro_auroc"}
        known: dict[str, Any] = {name: self.model.get(key) for name, key in best.items()}
        for stage in MEASURES:
            path = self.root / "metrics" / stage / f"{self.backbone}.json"
            known |= flatten({stage: read_numbers(path)}, "/") if path.exists() else {}
        for name in self.sets:
            path = self.root / "metrics/external" / name / f"{self.backbone}.json"
            if not path.exists():
                continue
            known |= flatten({"external": {path.parent.name: read_numbers(path)}}, "/")
        tables = {p.stem: p for _, p in self.metric_files() if p.suffix == ".csv"}
        known |= table_metrics(
            {name: read_csv(path, COLUMNS.get(name, {})) for name, path in tables.items()}
        )
        return {n: v for n, v in known.items() if isinstance(v, int | float) and not pd.isna(v)}

    def metric_files(self) -> list[tuple[str, Path]]:
        """Return (stage, file) for each existing JSON and CSV file of metrics."""
        files = []
        for stage in MEASURES:
            folder = self.root / "metrics" / stage
            tables = sorted((folder / self.backbone).glob("*.csv"))
            paths = [folder / f"{self.backbone}.json", *tables]
            files += [(stage, path) for path in paths if path.exists()]
        return files

    def plots(self) -> list[tuple[str, Path]]:
        """Return (stage, folder) for each existing folder of plots."""
        folders = [(stage, self.root / "plots" / stage / self.backbone) for stage in MEASURES]
        return [(stage, folder) for stage, folder in folders if folder.is_dir()]

    def cards(self) -> list[Path]:
        """Return the files of the model card and the data card, if they are of this model.

        A card that was written before the last training or evaluation names other hashes.
        """
        folder = self.root / "report" / "cards"
        card = folder / f"model_{self.backbone.replace(':', '_')}.md"
        if not (self.evaluated and card.exists()):
            return []
        text, known = card.read_text(encoding="utf-8"), self.hashes()
        if not all(known[name] in text for name in ("weights_sha256", "decision_sha256")):
            return []
        data = folder / f"data_{self.model['source']}.md"
        return [file for path in (card, data) for file in (path, path.with_suffix(".html"))]

    def check(self) -> None:
        """Check all artifacts before anything is written to MLflow.

        Raises:
            UserError: a file is damaged, the weights do not match the hash in model.json, or the
                predictions are of other classes, or of other images than the present split and
                the records.
        """
        self.check_weights()
        self.history()
        self.metrics()
        if self.evaluated:
            classes = self.model["classes"]
            read_decision(self.decision, classes)
            listed = held_out(open_cache(self.cache)[1], read_split(self.split))
            read_predictions(self.predictions, classes, listed)
            records_of(listed["image"].tolist(), self.records)
            self.serving()
            InputCheck.load(self.input_check)

    def check_weights(self) -> None:
        """Raise UserError unless the weights match the hash in model.json."""
        check_weights(self.folders[0], self.model)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_trained(folder: Path) -> dict[str, Any]:
    """Read the model.json of a trained network.

    Raises:
        UserError: the file is missing or damaged; names file and key.
    """
    return read_described(folder / DESCRIPTION, TrainedDescription)


def find_trained(
    backbones: Iterable[str], root: str | Path = ".", sets: Iterable[str] = ()
) -> list[Trained]:
    """Return the trained ones of some backbones, sorted by name, scored on some external sets.

    Raises:
        UserError: none has a model.json, or one is damaged.
    """
    names = sorted(set(backbones))
    folders = {name: Path(root) / "models" / name for name in names}
    trained = [
        Trained(name, Path(root), read_trained(folder), (folder,), tuple(sets))
        for name, folder in folders.items()
        if (folder / DESCRIPTION).exists()
    ]
    if not trained:
        raise UserError(
            f"none of {', '.join(names)} is trained: no model.json under {Path(root) / 'models'}; "
            "run `dvc repro` first"
        )
    return trained


MODEL = "cxr14-chexnext"
"""Name of the registered model of the CheXNeXt ensemble."""

SHARED = ("data/cache/", "data/split/")
"""Prefixes of inputs that define the evaluation data."""


@dataclass(frozen=True)
class TrainedEnsemble(Trained):
    """An ensemble of networks; ``model`` is their combined description.

    Attributes:
        networks: its members, in the order of `folders`.
        labels: path of the labels for evaluation; the networks learnt other labels.
        description: how to serve it.
    """

    networks: tuple[Trained, ...]
    labels: Path
    description: ServingDescription

    @property
    def stage(self) -> str:
        """Name of the DVC stage that evaluated it; its networks have stages of their own."""
        return "chexnext/dvc.yaml:evaluate"

    @property
    def script(self) -> str:
        """Source file of that stage."""
        return "stages/chexnext/evaluate.py"

    @property
    def scored_on(self) -> dict[str, str]:
        """SHA-256 of images, split and evaluation labels, by name.

        The labels that the networks learnt are excluded: they do not change the validation split.
        """
        inputs = self.model["inputs"].items()
        shared = {name: digest for name, digest in inputs if name.startswith(SHARED)}
        return shared | {self.labels.as_posix(): sha256(self.labels)}

    @property
    def input_check(self) -> Path:
        """Check of new images, shared by both pipelines."""
        return Path("data/input_check.npz")

    def serving(self) -> ServingDescription:
        """Return how to serve it."""
        return self.description

    @property
    def cache(self) -> Path:
        """Image cache, shared by both pipelines."""
        return Path("data/cache")

    @property
    def split(self) -> Path:
        """Split table, shared by both pipelines."""
        return Path("data/split/split.parquet")

    @property
    def records(self) -> Path:
        """Labels before relabelling."""
        return self.labels

    def check_weights(self) -> None:
        """Raise UserError unless the weights of all networks match their model.json."""
        for network in self.networks:
            network.check_weights()


def find_ensemble(
    root: Path, folders: Sequence[Path], labels: Path, description: ServingDescription
) -> TrainedEnsemble:
    """Read an ensemble and its validation score.

    Args:
        root: of the second pipeline.
        folders: of its networks.
        labels: path of the labels for evaluation.
        description: how to serve it. Its name is that of the ensemble's files below `root`:
            predictions, evaluation, metrics, plots.

    Raises:
        UserError: a file is missing or damaged, or the networks predict different classes.
    """
    networks = [Trained(p.name, root, read_trained(p), (p,), ()) for p in folders]
    name = description.name
    path = root / "metrics" / "evaluate" / f"{name}.json"
    scores = read_numbers(path, "validation_macro_auroc")
    if not isinstance(scores["validation_macro_auroc"], int | float):
        raise unusable(path, "is damaged: validation_macro_auroc is no number")
    _check_same_classes(networks)
    model = _combined_description(networks)
    model["validation_macro_auroc"] = scores["validation_macro_auroc"]
    facts = name, root, model, tuple(folders), ()
    return TrainedEnsemble(*facts, tuple(networks), labels, description)


def _check_same_classes(networks: Sequence[Trained]) -> None:
    """Raise UserError unless all networks predict the same classes."""
    first = networks[0]
    for network in networks[1:]:
        if network.model["classes"] != first.model["classes"]:
            raise unusable(
                network.folders[0] / DESCRIPTION, f"is of other classes than {first.folders[0]}'s"
            )


def _combined_description(networks: Sequence[Trained]) -> dict[str, Any]:
    """Return the description of an ensemble from the model.json of its networks.

    Identity and weights hash are SHA-256 of the concatenated values of the networks.
    """
    models = [network.model for network in networks]
    first = models[0]
    together = {
        key: hashlib.sha256("".join(model[key] for model in models).encode()).hexdigest()
        for key in ("run_identity", "weights_sha256")
    }
    inputs = {name: digest for model in models for name, digest in model["inputs"].items()}
    shared = {key: first[key] for key in ("classes", "source", "phantom")}
    params = {**first["params"], "networks": ", ".join(network.backbone for network in networks)}
    params["train"] = {k: v for k, v in first["params"]["train"].items() if k != "seed"}
    return shared | together | {"inputs": inputs, "params": params}
