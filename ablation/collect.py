"""Predictions of experiments, read from their commits and DVC's cache, not the work tree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvc.api import DVCFileSystem

from cxr14.datasets.records import SOURCE, Source, parse_source
from cxr14.errors import UserError
from cxr14.evaluation.measures import Predictions, predictions_of
from cxr14.labels import FINDINGS, label_matrix
from cxr14.metrics.auroc import Array

RARE = 5


@dataclass(frozen=True)
class GroundTruth:
    """Labels and patients of the N test images, and the rare findings.

    Attributes:
        labels: float32 (N, 15).
        patients: (N,).
        rare: share in train of the findings with the fewest images, rarest first.
        source: of the images.
    """

    labels: Array
    patients: Array
    rare: dict[str, float]
    source: Source

    def facts(self) -> dict[str, Any]:
        """Return the numbers of images and patients, the rare findings, and the phantom flag."""
        patients = len(np.unique(self.patients))
        counts = {"images": len(self.labels), "patients": patients}
        return {"phantom": self.source.phantom, "rare": self.rare, **counts}


Networks = dict[tuple[str, str], Predictions]


def collect(
    root: Path, revisions: Mapping[str, str], backbones: Sequence[str]
) -> tuple[GroundTruth, Networks]:
    """Read the predictions of all experiments.

    Args:
        root: of the repository.
        revisions: commits of the experiments by name.
        backbones: trained in each.

    Returns:
        The ground truth, and the predictions by experiment and backbone, on the same images.

    Raises:
        FileNotFoundError: a result is not in DVC's cache.
        UserError: the experiments' test images differ.
    """
    results = {name: Results(root, revision, name) for name, revision in revisions.items()}
    images: list[str] = []
    networks: Networks = {}
    for (name, experiment), backbone in product(results.items(), backbones):
        test_images, networks[name, backbone] = experiment.predictions(backbone)
        if images and test_images != images:
            raise UserError(f"experiment {name} has other test images; `dvc exp remove {name}`")
        images = test_images
    return next(iter(results.values())).ground_truth(images), networks


class Results:
    """Files of one experiment in git and DVC's cache."""

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

    def predictions(self, backbone: str) -> tuple[list[str], Predictions]:
        """Read the test images, sorted, and the predictions of one network for them."""
        table = self._table(f"predictions/{backbone}.parquet")
        table = table[table["split"] == "test"].sort_values("image")
        decision = json.loads(self._read(f"evaluation/{backbone}/decision.json"))
        return table["image"].tolist(), predictions_of(table, decision)

    def ground_truth(self, images: list[str]) -> GroundTruth:
        """Read the labels of the test images, and the rare findings of the train split."""
        records = self._table("data/records/images.parquet").set_index("image")
        split = self._table("data/split/split.parquet").set_index("image")["split"]
        with_pixels = self._table("data/cache/index.parquet")["image"]
        train = records.loc[with_pixels[split.loc[with_pixels].to_numpy() == "train"]]
        source = parse_source(json.loads(self._read(SOURCE)), SOURCE)
        test = records.loc[images]
        return GroundTruth(label_matrix(test), test["patient"].to_numpy(), rarest(train), source)


def rarest(train: pd.DataFrame, count: int = RARE) -> dict[str, float]:
    """Return the findings with the fewest images in a table, rarest first, and their shares."""
    shares = train[list(FINDINGS)].mean().sort_values(kind="stable")
    return {str(name): float(share) for name, share in shares.head(count).items()}
