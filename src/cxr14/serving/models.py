"""Where the files of a trained model are, and which model is the default.

It imports neither NumPy nor torch: a command first reads here how they are to compute.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr14.errors import UserError

MODELS = "models"

REGISTRY = "models:/"
"""Start of the URI of a registered model."""


SCORE = "validation_macro_auroc"
"""Key of model.json."""


@dataclass(frozen=True)
class ModelFiles:
    """Paths of what predictions need.

    Attributes:
        name: how a user names the model.
        folders: one, or one per network of an ensemble, with model.json and weights.
        decision: decision.json.
        description: serving/BACKBONE.json.
        input_check: input_check.npz.
    """

    name: str
    folders: tuple[Path, ...]
    decision: Path
    description: Path
    input_check: Path

    @property
    def numerics(self) -> str:
        """The param `numerics` of its training; portable if model.json does not say."""
        params = _described(self.folders[0]).get("params")
        chosen = params.get("numerics") if isinstance(params, dict) else None
        return "fast" if chosen == "fast" else "portable"


def file_stem(name: str) -> str:
    """Return the name of a model or card as a part of file names, which have no colon."""
    return name.replace(":", "_")


def model_files(name: str, folder: Path) -> ModelFiles:
    """Locate the files of ROOT/models/BACKBONE; none is opened.

    Args:
        name: how the user named it.
        folder: of model.json and weights.

    Raises:
        UserError: there is no such folder, or it is not in a folder `models`.
    """
    folder = folder.absolute()
    if not (folder / "model.json").is_file() or folder.parent.name != MODELS:
        raise UserError(
            f"--model {name}: no trained model; give models/BACKBONE, or models:/cxr14@champion "
            f"of the registry; `dvc repro` or `dvc pull` writes models/"
        )
    root, backbone = folder.parents[1], folder.name
    return ModelFiles(
        name,
        (folder,),
        root / "evaluation" / backbone / "decision.json",
        root / "serving" / f"{backbone}.json",
        root / "data" / "input_check.npz",
    )


def best_model(root: Path) -> ModelFiles:
    """Locate the model with the highest macro AUROC on validation, by its model.json.

    Raises:
        UserError: there is no model to serve.
    """
    scores = {
        name: score
        for name in served_backbones(root)
        if isinstance(score := _described(root / MODELS / name).get(SCORE), float)
    }
    if not scores:
        raise UserError(
            f"no model in {root / MODELS} with its files in evaluation/ and serving/; run "
            f"`dvc repro serving` or `dvc pull`"
        )
    best = max(scores, key=lambda name: scores[name])
    return model_files(f"{MODELS}/{best}", root / MODELS / best)


def served_backbones(root: Path = Path()) -> list[str]:
    """List the backbones that are trained, evaluated and described, sorted.

    A folder in models/ may be left over from an earlier `train.backbones`.
    """
    names = sorted(path.parent.name for path in (root / MODELS).glob("*/model.json"))
    needed = "evaluation/{}/decision.json", "serving/{}.json"
    return [name for name in names if all((root / f.format(name)).is_file() for f in needed)]


def _described(folder: Path) -> dict[str, Any]:
    """Return the content of model.json; nothing if it is damaged, which its reader reports."""
    try:
        content = json.loads((folder / "model.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
