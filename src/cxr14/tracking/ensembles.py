"""What the second pipeline left of its ensemble, as the registry takes it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr14.files import read_numbers, sha256, unusable
from cxr14.tracking.artifacts import Trained, read_trained

MODEL = "cxr14-chexnext"
"""Its registered model, apart from the single networks'."""

SHARED = ("data/cache/", "data/split/")
"""Where the inputs of its networks lie that also decide what it is scored on."""


@dataclass(frozen=True)
class TrainedEnsemble(Trained):
    """Networks that answer together; ``model`` is what they have in common.

    Attributes:
        networks: each of them.
        labels: the table that they are scored by, which is not what they learnt.
    """

    networks: tuple[Trained, ...]
    labels: Path

    @property
    def folders(self) -> list[Path]:
        """The folders of its networks."""
        return [own.folder for own in self.networks]

    @property
    def stage(self) -> str:
        """What DVC calls the stage that scored it: it was not trained in one."""
        return "chexnext/dvc.yaml:evaluate"

    @property
    def script(self) -> str:
        """The source of that stage."""
        return "stages/chexnext/evaluate.py"

    @property
    def scored_on(self) -> dict[str, str]:
        """Images and split of its networks, and the labels it is scored by; not those they learnt.

        Relabelled otherwise, or by other members, it is scored on the same validation part.
        """
        inputs = self.model["inputs"].items()
        shared = {name: digest for name, digest in inputs if name.startswith(SHARED)}
        return shared | {self.labels.as_posix(): sha256(self.labels)}

    @property
    def cache(self) -> Path:
        """The images, which both pipelines share."""
        return Path("data/cache")

    @property
    def split(self) -> Path:
        """The split, which both pipelines share."""
        return Path("data/split/split.parquet")

    def check_weights(self) -> None:
        """Raise UserError unless all weights are those that their model.json names."""
        for own in self.networks:
            own.check_weights()


@dataclass(frozen=True)
class InFolder(Trained):
    """A network whose folder is named."""

    where: Path

    @property
    def folder(self) -> Path:
        """The folder of weights.safetensors and model.json."""
        return self.where


def find_ensemble(name: str, root: Path, folders: Sequence[Path], labels: Path) -> TrainedEnsemble:
    """Read what is known of an ensemble.

    Args:
        name: of its files below `root`: predictions, evaluation, metrics, plots.
        root: of the second pipeline.
        folders: of its networks.
        labels: the table by which it is scored.

    Raises:
        UserError: a file is missing or damaged, or the networks predict different classes.
    """
    networks = [InFolder(p.name, root, read_trained(p), p) for p in folders]
    path = root / "metrics" / "evaluate" / f"{name}.json"
    scores = read_numbers(path, "validation_macro_auroc")
    if not isinstance(scores["validation_macro_auroc"], int | float):
        raise unusable(path, "is damaged: validation_macro_auroc is no number")
    check_alike(networks)
    model = in_common([own.model for own in networks], [p.name for p in folders])
    model["validation_macro_auroc"] = scores["validation_macro_auroc"]
    return TrainedEnsemble(name, root, model, tuple(networks), labels)


def check_alike(networks: Sequence[Trained]) -> None:
    """Raise UserError unless all networks predict the same classes."""
    first = networks[0]
    for network in networks[1:]:
        if network.model["classes"] != first.model["classes"]:
            raise unusable(
                network.folder / "model.json", f"is of other classes than {first.folder}'s"
            )


def in_common(models: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Describe an ensemble by the content of its networks' model.json.

    Identity and hash of the weights are those of the networks' together.
    """
    first = models[0]
    together = {
        key: hashlib.sha256("".join(own[key] for own in models).encode()).hexdigest()
        for key in ("run_identity", "weights_sha256")
    }
    inputs = {name: digest for own in models for name, digest in own["inputs"].items()}
    shared = {key: first[key] for key in ("classes", "source", "phantom")}
    params = {**first["params"], "networks": ", ".join(names)}
    params["train"] = {k: v for k, v in first["params"]["train"].items() if k != "seed"}
    return shared | together | {"inputs": inputs, "params": params}
