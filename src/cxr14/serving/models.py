"""Where the files of a trained model are, and which model is the default.

It imports neither NumPy nor torch: a command first reads here how they are to compute.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr14.errors import UserError

MODELS = "models"


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
        root / "serving" / "input_check.npz",
    )


def best_model(root: Path) -> ModelFiles:
    """Locate the model with the highest macro AUROC on validation, by its model.json.

    Raises:
        UserError: no model is trained.
    """
    scores = {
        folder: score
        for folder in sorted((root / MODELS).glob("*/"))
        if isinstance(score := _described(folder).get("validation_macro_auroc"), float)
    }
    if not scores:
        raise UserError(f"no trained model in {root / MODELS}; run `dvc repro` or `dvc pull`")
    best = max(scores, key=lambda folder: scores[folder])
    return model_files(f"{MODELS}/{best.name}", best)


def _described(folder: Path) -> dict[str, Any]:
    """Return the content of model.json; nothing if it is damaged, which its reader reports."""
    try:
        content = json.loads((folder / "model.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
