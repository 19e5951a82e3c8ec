"""Where the second pipeline keeps its files: all below chexnext/, named here once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

ROOT: Final = Path("chexnext")
LABELS: Final = ROOT / "data" / "labels.parquet"
"""The records with the labels that members learn: mined ones, or phantoms' made wrong."""

FOLDS: Final = ROOT / "data" / "folds"
RELABELLED: Final = ROOT / "data" / "relabelled"
SINGLES: Final = ROOT / "singles"
"""What evaluation and localisation leave of single networks; of averages it lies in ROOT."""

SELECTION: Final = ROOT / "selection" / "selection.json"


class Group(StrEnum):
    """Who learns which labels: members those that are given, students the new ones."""

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
class Place:
    """Where one network's files are.

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
        """Name it within its group."""
        return f"{self.backbone}-{self.seed}"

    @property
    def title(self) -> str:
        """Name it in tables and files that hold both groups: ``member-alexnet-0``."""
        return f"{self.group.removesuffix('s')}-{self.name}"

    @property
    def model(self) -> Path:
        """The folder of its weights and model.json."""
        return ROOT / "models" / self.group / self.name

    @property
    def logits(self) -> Path:
        """Its answers for every image of data/cache, float32 (N, C), in the cache's order."""
        return ROOT / "logits" / self.group / f"{self.name}.npy"


def places(group: str, backbones: Sequence[str], seeds: Sequence[int]) -> list[Place]:
    """List a group's networks in the order of their names in chexnext/params.yaml."""
    return [Place(group, backbone, seed) for backbone in backbones for seed in seeds]
