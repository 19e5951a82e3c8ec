"""What experiments answered: read from their commits and DVC's cache, never the work tree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvc.api import DVCFileSystem

from cxr14.errors import UserError
from cxr14.evaluation.predict import logit_columns, probability_columns
from cxr14.labels import CLASSES, FINDINGS, label_matrix
from cxr14.metrics.auroc import Array, Floats

RARE = 5


@dataclass(frozen=True)
class Answers:
    """One network on the N test images.

    Attributes:
        images: (N,) names, sorted.
        logits: float32 (N, 15).
        probabilities: float32 (N, 15).
        thresholds: float64 (15,), chosen on its own validation answers; NaN where there is none.
    """

    images: Array
    logits: Array
    probabilities: Array
    thresholds: Floats


@dataclass(frozen=True)
class Truth:
    """What the N test images hold, and which findings are rare.

    Attributes:
        labels: float32 (N, 15).
        patients: (N,).
        rare: the findings with the fewest images in the train part, rarest first, and their share.
        phantom: whether the images are phantoms.
    """

    labels: Array
    patients: Array
    rare: dict[str, float]
    phantom: bool

    def facts(self) -> dict[str, Any]:
        """Return what a reader of the comparison wants to know."""
        patients = len(np.unique(self.patients))
        counts = {"images": len(self.labels), "patients": patients}
        return {"phantom": self.phantom, "rare": self.rare, **counts}


Networks = dict[tuple[str, str], Answers]


def collect(
    root: Path, revisions: Mapping[str, str], backbones: Sequence[str]
) -> tuple[Truth, Networks]:
    """Read the answers of all experiments.

    Args:
        root: of the repository.
        revisions: commits of the experiments by name.
        backbones: trained in each.

    Returns:
        The truth, and the answers by experiment and backbone, on the same images.

    Raises:
        FileNotFoundError: a result is not in DVC's cache.
        UserError: the experiments' test parts differ.
    """
    results = {name: Results(root, revision, name) for name, revision in revisions.items()}
    networks = {
        (name, backbone): own.answers(backbone)
        for name, own in results.items()
        for backbone in backbones
    }
    images = next(iter(networks.values())).images
    for (name, _), own_answers in networks.items():
        if not np.array_equal(own_answers.images, images):
            raise UserError(f"experiment {name} has other test images; `dvc exp remove {name}`")
    return next(iter(results.values())).truth(images), networks


class Results:
    """The files of one experiment, as git and DVC keep them."""

    def __init__(self, root: Path, revision: str, name: str) -> None:
        self._files = DVCFileSystem(str(root), rev=revision)
        self._name = name

    def _read(self, path: str) -> bytes:
        try:
            return bytes(self._files.read_bytes(path))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"experiment {self._name}: {path} is not in DVC's cache; remove the experiment "
                f"(`dvc exp remove {self._name}`) and run this again"
            ) from None

    def _table(self, path: str) -> pd.DataFrame:
        return pd.read_parquet(BytesIO(self._read(path)))

    def answers(self, backbone: str) -> Answers:
        """Read the answers of one network on test."""
        table = self._table(f"predictions/{backbone}.parquet")
        table = table[table["split"] == "test"].sort_values("image")
        decision = json.loads(self._read(f"evaluation/{backbone}/decision.json"))
        thresholds = np.array([decision["thresholds"][name] for name in CLASSES], np.float64)
        return Answers(
            table["image"].to_numpy(str),
            table[logit_columns(CLASSES)].to_numpy(),
            table[probability_columns(CLASSES)].to_numpy(),
            thresholds,
        )

    def truth(self, images: Array) -> Truth:
        """Read what test images hold, and the findings of the train part."""
        records = self._table("data/records/images.parquet").set_index("image")
        split = self._table("data/split/split.parquet").set_index("image")["split"]
        seen = self._table("data/cache/index.parquet")["image"]  # of all records, those with pixels
        train = records.loc[seen[split.loc[seen].to_numpy() == "train"]]
        phantom = bool(json.loads(self._read("data/records/source.json"))["phantom"])
        own = records.loc[images]
        return Truth(label_matrix(own), own["patient"].to_numpy(), rarest(train), phantom)


def rarest(train: pd.DataFrame, count: int = RARE) -> dict[str, float]:
    """Return the findings with the fewest images in a table, rarest first, and their shares."""
    shares = train[list(FINDINGS)].mean().sort_values(kind="stable")
    return {str(name): float(share) for name, share in shares.head(count).items()}
