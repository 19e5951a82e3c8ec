"""Paths of the second pipeline, and its images in the order of the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError, quote
from cxr14.io import read_json, read_npy, unusable
from cxr14.labels import CLASSES
from cxr14.preprocessing.cache import INDEX, read_index

ROOT: Final = Path("chexnext")
LABELS: Final = ROOT / "data" / "labels.parquet"
"""The records with the labels that members learn: mined labels, or noisy labels of phantoms."""

FOLDS: Final = ROOT / "data" / "folds"
RELABELLED: Final = ROOT / "data" / "relabelled"
SINGLES: Final = ROOT / "singles"
"""Results of single networks; those of ensembles are in ROOT."""

SELECTION: Final = ROOT / "selection" / "selection.json"


class Group(StrEnum):
    """Groups of networks: members learn the given labels, students the relabelled ones."""

    MEMBERS = "members"
    STUDENTS = "students"


MEMBERS: Final = Group.MEMBERS.value
STUDENTS: Final = Group.STUDENTS.value
ENSEMBLE: Final = "chexnext"
"""The name of the students' average in tables and files; that of the members' is MEMBERS."""


def split_of_fold(fold: int) -> Path:
    """Name the split in which a fold of train is left out."""
    return FOLDS / f"{fold}.parquet"


@dataclass(frozen=True)
class NetworkPaths:
    """Paths of the files of one network.

    Attributes:
        group: members or students.
        backbone: its name.
        seed: of its training.
    """

    group: str
    backbone: str
    seed: int

    @property
    def name(self) -> str:
        """Name within the group."""
        return f"{self.backbone}-{self.seed}"

    @property
    def title(self) -> str:
        """Name in tables and files of both groups: ``member-alexnet-0``."""
        return f"{self.group.removesuffix('s')}-{self.name}"

    @property
    def model(self) -> Path:
        """The folder of its weights and model.json."""
        return ROOT / "models" / self.group / self.name

    @property
    def logits(self) -> Path:
        """Logits of every image of data/cache, float32 (N, C), in the order of the cache."""
        return ROOT / "logits" / self.group / f"{self.name}.npy"


def network_paths(group: str, backbones: Sequence[str], seeds: Sequence[int]) -> list[NetworkPaths]:
    """List a group's networks in the order of their names in chexnext/params.yaml."""
    return [NetworkPaths(group, backbone, seed) for backbone in backbones for seed in seeds]


def read_classes(network: NetworkPaths) -> list[str]:
    """Read the classes of a trained network.

    Raises:
        UserError: model.json is missing or damaged.
    """
    path = network.model / "model.json"
    classes = read_json(path, "classes")["classes"]
    if not (isinstance(classes, list) and classes):
        raise unusable(path, f"is damaged: classes are {quote(classes)}")
    if classes != [name for name in CLASSES if name in classes]:
        raise unusable(path, f"is damaged: classes should be some of {', '.join(CLASSES)}")
    return classes


# All (N, C) arrays of the second pipeline are in the order of the cache.


@dataclass(frozen=True)
class CachedImages:
    """N images of the cache.

    Attributes:
        images: their records, with the labels that were read.
        splits: (N,) train, val or test.
        rows: int64 (N,), the index of each image in the records.
    """

    images: pd.DataFrame
    splits: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]

    def within(self, *splits: str) -> npt.NDArray[np.bool_]:
        """Return which images are in one of the splits: bool (N,)."""
        return np.isin(self.splits, splits)


def align_to_cache(cache: str | Path, records: pd.DataFrame, split: pd.DataFrame) -> CachedImages:
    """Reorder records and split to the order of the cache.

    Args:
        cache: data/cache.
        records: one row per image, with labels.
        split: image and split, in the order of the records.

    Raises:
        UserError: an image of the cache is not in the records, or the tables do not fit.
    """
    if split["image"].tolist() != records["image"].tolist():
        raise UserError("labels and split do not list the same images; run `dvc repro`")
    names = read_index(Path(cache) / INDEX)["image"]
    rows = pd.Index(records["image"]).get_indexer(names)
    if (rows < 0).any():
        raise UserError(f"{names[rows < 0].iloc[0]} is in {cache}, but not in the records")
    images = records.iloc[rows].reset_index(drop=True)
    return CachedImages(images, split["split"].to_numpy(str)[rows], rows.astype(np.int64))


def read_logits(path: Path, images: int, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Read a network's logits of every image of the cache, (images, classes).

    Raises:
        UserError: the file is missing, damaged, or of other images or classes.
    """
    logits = read_npy(path, np.float32, 2)
    if logits.shape != (images, len(classes)):
        raise unusable(path, f"holds {logits.shape} logits, expected {(images, len(classes))}")
    if not np.isfinite(logits).all():
        raise unusable(path, "is damaged: a logit is no finite number")
    return logits
