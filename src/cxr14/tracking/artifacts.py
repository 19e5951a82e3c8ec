"""What the pipeline left of each trained backbone, read from its files."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from cxr14.data.cache import open_cache
from cxr14.data.stored import read_split
from cxr14.errors import UserError
from cxr14.evaluation.predict import held_out
from cxr14.evaluation.stored import read_decision, read_predictions
from cxr14.files import read_csv, read_numbers, sha256
from cxr14.models.description import ModelDescription, read_described
from cxr14.models.store import DESCRIPTION, check_weights
from cxr14.tracking.details import COLUMNS, detailed
from cxr14.tracking.runs import flatten

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
    """A trained backbone: where its files are, and the content of its model.json."""

    backbone: str
    root: Path
    model: dict[str, Any]

    @property
    def folder(self) -> Path:
        """models/<backbone>, with weights.safetensors and model.json."""
        return self.root / "models" / self.backbone

    @property
    def folders(self) -> list[Path]:
        """The networks that answer together: one, or an ensemble's."""
        return [self.folder]

    @property
    def stage(self) -> str:
        """What DVC calls the stage that trained it."""
        return f"train@{self.backbone}"

    @property
    def script(self) -> str:
        """The source of that stage."""
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
    def cache(self) -> Path:
        """The images on which the predictions were made."""
        return self.root / "data" / "cache"

    @property
    def split(self) -> Path:
        """Says which images the predictions must hold."""
        return self.root / "data" / "split" / "split.parquet"

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
        """SHA-256 of the files that decide what the score is of, by name.

        Images, records and split, which it was trained on as well.
        """
        inputs = self.model["inputs"].items()
        return {name: digest for name, digest in inputs if "pretrained" not in name}

    @property
    def evaluated(self) -> bool:
        """Whether evaluate has run: only then is the model complete enough for the registry."""
        return self.decision.exists() and self.predictions.exists()

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of weights and data, and of the decision if there is one.

        The data are what the score is of, classes included: equal data, comparable scores.
        """
        data = self.scored_on | {"classes": self.model["classes"]}
        text = json.dumps(data, sort_keys=True)
        known = {"weights_sha256": self.model["weights_sha256"]}
        known["data_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return known | ({"decision_sha256": sha256(self.decision)} if self.evaluated else {})

    def history(self) -> list[dict[str, float]]:
        """Return one row per epoch (epoch, loss, learning_rate, validation_macro_auroc)."""
        path = self.root / "plots" / "train" / f"{self.backbone}.csv"
        if not path.exists():
            return []
        rows = read_csv(path, {"epoch": "integer", "loss": "number"}).to_dict(orient="records")
        return [{str(name): float(value) for name, value in row.items()} for row in rows]

    def metrics(self) -> dict[str, float]:
        """Return the numbers of train, evaluate and localize; what cannot be scored is left out.

        MLflow groups charts by all but the last part of a name and cuts long titles, hence
        ``evaluate/macro_auroc``, ``auroc/Mass``, ``localize/iobb/mean_accuracy/t10``. Details
        stay in the files.
        """
        best = {"best_epoch": "best_epoch", "best_validation_macro_auroc": "validation_macro_auroc"}
        known: dict[str, Any] = {name: self.model.get(key) for name, key in best.items()}
        for stage in MEASURES:
            path = self.root / "metrics" / stage / f"{self.backbone}.json"
            known |= flatten({stage: read_numbers(path)}, "/") if path.exists() else {}
        tables = {p.stem: p for _, p in self.measured() if p.suffix == ".csv"}
        known |= detailed(
            {name: read_csv(path, COLUMNS.get(name, {})) for name, path in tables.items()}
        )
        return {n: v for n, v in known.items() if isinstance(v, int | float) and not pd.isna(v)}

    def measured(self) -> list[tuple[str, Path]]:
        """Return (stage, file) for each file of metrics that exists: the JSON, the tables."""
        found = []
        for stage in MEASURES:
            folder = self.root / "metrics" / stage
            tables = sorted((folder / self.backbone).glob("*.csv"))
            files = [folder / f"{self.backbone}.json", *tables]
            found += [(stage, path) for path in files if path.exists()]
        return found

    def plots(self) -> list[tuple[str, Path]]:
        """Return (stage, folder) for each folder of plots that exists."""
        folders = [(stage, self.root / "plots" / stage / self.backbone) for stage in MEASURES]
        return [(stage, folder) for stage, folder in folders if folder.is_dir()]

    def check(self) -> None:
        """Check all that MLflow gets, before it gets any of it.

        Raises:
            UserError: a file is damaged, the weights are not those that model.json names, or the
                predictions are not of the classes, or not of the images of the present split.
        """
        self.check_weights()
        self.history()
        self.metrics()
        if self.evaluated:
            classes = self.model["classes"]
            read_decision(self.decision, classes)
            listed = held_out(open_cache(self.cache)[1], read_split(self.split))
            read_predictions(self.predictions, classes, listed)

    def check_weights(self) -> None:
        """Raise UserError unless the weights are those that model.json names."""
        check_weights(self.folder, self.model)


def read_trained(folder: Path) -> dict[str, Any]:
    """Read the model.json of a trained network.

    Raises:
        UserError: it is missing or damaged; names file and key.
    """
    return read_described(folder / DESCRIPTION, TrainedDescription)


def find_trained(backbones: Iterable[str], root: str | Path = ".") -> list[Trained]:
    """Return those of the backbones that have a model.json, sorted by name.

    Raises:
        UserError: there is none, or one is damaged.
    """
    names = sorted(set(backbones))
    folders = {name: Path(root) / "models" / name for name in names}
    trained = [
        Trained(name, Path(root), read_trained(folder))
        for name, folder in folders.items()
        if (folder / DESCRIPTION).exists()
    ]
    if not trained:
        raise UserError(
            f"none of {', '.join(names)} is trained: no model.json under {Path(root) / 'models'}; "
            "run `dvc repro` first"
        )
    return trained
